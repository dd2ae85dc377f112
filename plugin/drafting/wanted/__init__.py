"""Whether a study is to have a draft: its rules, age, body part, and what was signed already."""
