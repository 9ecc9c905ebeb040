"""The messages of Kubernetes' KMS API. The `.proto` files are ours, from the API's names and numbers.

`*_pb2.*` are made from them by `python -m k8s.kmsplugin.proto.make` and committed, so that an installation needs no
compiler; a test makes them again and compares.
"""
