"""genai-bench: command lines, results, comparisons."""
