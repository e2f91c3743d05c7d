"""What the experiments explain: value functions in groups; ``registry`` lists the tasks."""
