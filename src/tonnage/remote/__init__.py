"""Models that lie elsewhere: hub repos (also as folders of this machine), plain URLs and Ollama's store. Only headers travel.

The standard library's HTTP is enough: what is read is small, and every fault of a server must end in one clear
line. Nothing here is imported before a question names such a model.
"""
