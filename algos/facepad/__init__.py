"""Presentation attacks on faces: a teacher that sees motion, a student that does not (FacePAD, arXiv 2605.13108).

What is not public of the paper is that of its first author's earlier code, as docs/facepad.md says. Modules that
need OpenCV (extra `models`) load it where it is used.
"""
