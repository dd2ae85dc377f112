"""Where a site's studies come from: a folder or an archive, asked at a pace that it can bear.

Every source gives the same studies in the same form.
"""
