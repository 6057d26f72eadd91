"""vLLM"""
