"""An exported model without the training stack: numpy, Pillow and one inference engine; no torch, no scikit-learn.

document    what an exported file says of itself
engines     ONNX Runtime and OpenVINO behind one small face
predictor   the same answers as `model.predictor.Model`
"""
