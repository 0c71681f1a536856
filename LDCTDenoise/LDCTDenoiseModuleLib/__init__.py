"""What the LDCTDenoise module does inside Slicer. The computation itself is LDCTDenoiseLib's, in a child process."""
