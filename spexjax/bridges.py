"""To and from other libraries: ``to_shapiq``, ``to_shap``, and our methods inside shapiq."""

from spexjax.approximator import approximator
from spexjax.interop import to_shap, to_shapiq

__all__ = ["approximator", "to_shap", "to_shapiq"]
