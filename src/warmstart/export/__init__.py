"""A trained model as one file that other programs run.

graph       the whole model as one torch module: uint8 pictures in, probabilities out
resizing    Pillow's resize, inside the graph
formats     what can be written, in which precision, on which processor
onnx_file, openvino_file, torch_file    one writer a format
quantise    float32 → int8, from calibration pictures
parity      what an exported file says of picture files, held against float32 PyTorch
"""
