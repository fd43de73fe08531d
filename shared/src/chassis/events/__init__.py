"""Events between services over RabbitMQ: envelope, topology, outbox, relay, publisher and consumer.

Every event is the full state of its aggregate with a revision that only grows; delivery is at least once, and
a consumer applies an event only when its revision is newer. Nothing is published from a request handler.
"""
