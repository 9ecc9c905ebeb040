"""Cases for the auditor's verifier: what it must say of good evidence, and of evidence that somebody changed.

``python -m tests.audit.verifier_vectors`` writes them to kms/audit/keystead_vectors.json, which is shipped beside the
verifier; ``keystead_verify.py selftest`` runs them. The keys are for this alone, and signatures are deterministic
(RFC 6979), so that the same file comes out each time.
"""
