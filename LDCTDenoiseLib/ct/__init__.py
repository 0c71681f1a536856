"""What CT voxels are: Hounsfield units and the axis of the slices."""
