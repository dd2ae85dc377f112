"""What the pages do with the service's state: lists studies, shows drafts, and keeps reviews.

Nothing here knows HTTP but for what a request is refused with; the addresses stand in
`plugin.web.routes`.
"""
