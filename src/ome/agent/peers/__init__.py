"""One download for a fleet: nodes that have a model give it to those that don't.

The model: a node that wants a model looks which nodes have it (their labels say so) and reads it
from them; where none has it, one node after the other takes the *turn* (a Lease) to read it from
its origin, and the others wait and say for whom. What comes from a peer is asked for by the hash
that the origin lists and verified with it, so a peer can delay a model but never change it.

Peers speak HTTP on a port of their own and prove themselves with a key that all agents read from
one Secret (:mod:`~ome.agent.peers.auth`). The bytes are not encrypted on the way.
"""
