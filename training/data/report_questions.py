"""The questions that ask for a report in M3D: one is drawn each time an image is seen.

M3D-LaMed and Med3DVLM train and evaluate with these 42 sentences (`Caption_templates` of the
authors' prompt_templates.py), whose third and fourteenth are the same, so that it is drawn twice as
often. They are quoted as they are, grammar included: published weights know no others.
"""

from importlib.resources import files

M3D_REPORT_QUESTIONS = tuple(
    (files("training.data") / "report_questions.txt").read_text("utf-8").splitlines()
)
