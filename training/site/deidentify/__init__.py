"""Headers without the patient, the secret key, and what is known of a patient to look for in texts.

An element survives only if `survivors` lists it.
"""
