"""One example of every command, for its help."""

EXAMPLES = {
    "denoise": "ldctdenoise denoise low_dose.nrrd denoised.nrrd",
    "batch": "ldctdenoise batch FOLDER_OF_CTS OUT_FOLDER",
    "batch-report": "ldctdenoise batch-report OUT_FOLDER --audit",
    "series": "ldctdenoise series DICOM_FOLDER",
    "simulate": "ldctdenoise simulate normal_dose.nrrd quarter_dose.nrrd --dose 0.25",
    "lesion-test": "ldctdenoise lesion-test ct.nrrd --at 250,200,40 --contrast -20 --diameter 6",
    "data": "ldctdenoise data index FOLDER",
    "data download": "ldctdenoise data download --anatomy chest --out FOLDER",
    "data index": "ldctdenoise data index FOLDER --split ldctbench",
    "train": "ldctdenoise train --config default --start-from default --data FOLDER --out RUN",
    "adapt": "ldctdenoise adapt FOLDER_OF_CTS --out mine.safetensors",
    "evaluate": "ldctdenoise evaluate denoised.nrrd normal_dose.nrrd",
    "export": "ldctdenoise export default default.onnx",
    "figures": "ldctdenoise figures --pairs FOLDER/pairs.csv --runs runs --out pictures",
    "models": "ldctdenoise models",
    "info": "ldctdenoise info",
    "demo": "ldctdenoise demo --out demo-output",
}
