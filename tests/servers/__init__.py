"""Real servers on several ports that share a database and a Redis, and an operator in a process of its own."""
