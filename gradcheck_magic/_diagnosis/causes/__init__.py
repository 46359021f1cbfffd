"""The causes of a wrong gradient, one file each.

Each says how the cause is recognised, what is known of it (its evidence, which becomes
`Diagnosis.details`), and its sentence. `diagnose.py` asks them in turn.
"""
