"""What a double is worth: rounding, intervals, rigorous tests, activations, sums.

A reader of a certificate ends here: `rounding` holds every tolerance with its derivation, and
`rigor` is the trusted core.  `intervals` carries boxes and `zonotopes` sets whose coordinates share
symbols, `activations` holds facts that are proved
in `proofs.activations`, `sums` rounds upward, `rounded` knows sizes and errors,
in double precision and in the `formats` of deployments, and `minimise` is not trusted.
"""
