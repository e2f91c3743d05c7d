"""Image towers in Flax: the plain ViT, SigLIP, CLIP's."""
