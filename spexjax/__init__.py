"""spexjax: which sets of inputs does a model's answer depend on?"""

__version__ = "0.1.0"
