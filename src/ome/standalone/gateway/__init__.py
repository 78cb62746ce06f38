"""One OpenAI address for every service on this machine.

The gateway is a process of its own (a pod, like any engine), so that stopping, killing or
upgrading OME's control process cuts no user off. It learns where to send requests from two kinds
of objects, InferenceServices and EndpointSlices, through the API server's unix socket. While the
API is down it goes on with the last routes it knew.

What it promises:

- a request reaches a ready replica of the service that its body's ``model`` names, the one with
  the fewest requests in flight;
- the answer streams through as it comes, and a client that goes away ends the engine's work too;
- a replica that can't be reached is left out and another one tried, as long as no byte of the
  answer has been sent;
- whatever it can't do, it says in the form of OpenAI's errors: what is wrong, what is there
  instead, and what to do.

``routes`` (pure) knows services and replicas, ``balance`` picks one, ``upstream`` speaks to it,
``server`` speaks to clients, ``watch`` follows the API.
"""
