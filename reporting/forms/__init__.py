"""The other forms of a draft, each made of its Enhanced SR and of nothing else.

A form is a function of that object: made twice it is the same, under the same UID. So it is made
when it is sent, and nothing of it is kept. Whoever adds a form adds a module here, and its name to
`plugin.settings`.
"""
