"""One OpenAI address for all services, routed by the model's name."""
