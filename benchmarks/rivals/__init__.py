"""Other people's batching beside ours: one child process a contestant, all asked the same.

``contestants`` lists who takes part and where it is installed, ``child`` runs one of them and prints one line
of JSON. What rivals import here needs only numpy, onnxruntime and the contestant itself: they live in
environments of their own (``make rivals``), where inprocml is not installed.
"""
