"""What a reader sees beside a study: the patient's earlier studies, and similar ones of others.

Neither is the study itself, and nothing of them enters its report.
"""
