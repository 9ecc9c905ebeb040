"""The Kubernetes KMS plugin: what the API server encrypts for etcd is under a key that stays in Keystead's token.

It keeps no key and no state. It must not know how keys are kept, nor what Kubernetes encrypts.
"""

__version__ = "0.1.0"
