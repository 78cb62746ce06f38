"""What runs in a benchmark's pod, around genai-bench.

Nothing but the standard library, and no other module of OME: the files travel in a ConfigMap of the
job, so that every image that has genai-bench will do, and on one machine any Python.

``python -m omebench benchmark …`` takes genai-bench's own arguments. It looks at everything that
can be known before the first request (is genai-bench there, can results be written, does the
endpoint answer to this key and model, can dataset and tokenizer be read), runs genai-bench, and
tells on standard output how far it is and what came of it: lines that begin with
``ome-benchmark:`` and go on in JSON. The last one is the outcome. Whatever genai-bench had measured
when something went wrong is told too.
"""
