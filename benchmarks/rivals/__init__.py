"""Other people's batching beside ours: one child process a contestant, all asked the same.

``table`` lists who takes part and where it is installed, ``child`` runs one of them and prints one line of JSON.
Everything here but ``ours`` needs only numpy, onnxruntime and the contestant itself: the rivals live in
environments of their own (``make rivals``), where inprocml is not installed.
"""
