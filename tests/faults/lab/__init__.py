"""The laboratory of the fault tests: private servers, replicas as processes, faulty links, and the checker."""
