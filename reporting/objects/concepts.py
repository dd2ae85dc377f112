"""The codes a draft report is written with."""

from pydicom.sr.coding import Code

from reporting.text.headings import Heading

TITLE = Code("18748-4", "LN", "Diagnostic Imaging Report")  # CID 7000
TEMPLATE = "2000"

PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure Reported")
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
DEVICE = Code("121007", "DCM", "Device")
DEVICE_OBSERVER_UID = Code("121012", "DCM", "Device Observer UID")
BEST_ILLUSTRATION = Code("121080", "DCM", "Best illustration of finding")

# "The likelihood that the finding detected is in fact the type of finding identified" (PS3.16
# annex D); templates of CAD give it in percent, which nobody should read here: a word is coded
CONFIDENCE = Code("111012", "DCM", "Certainty of Finding")
LEVELS = {
    "high": Code("75540009", "SCT", "High"),
    "medium": Code("255508009", "SCT", "Medium"),
    "low": Code("62482003", "SCT", "Low"),
}

ANY_CT = Code("25045-6", "LN", "CT Unspecified body region")  # CID 100
ENGLISH = Code("en-US", "RFC5646", "English (United States)")
# Drafts are English; a radiologist may write in another language
LANGUAGES = {
    code.value: code
    for code in (
        ENGLISH,
        Code("en-GB", "RFC5646", "English (United Kingdom)"),
        Code("de-DE", "RFC5646", "German (Germany)"),
        Code("de-AT", "RFC5646", "German (Austria)"),
        Code("de-CH", "RFC5646", "German (Switzerland)"),
    )
}

# Section (CID 7001) and element (CID 7002) of what stands before the draft's own sections
SUMMARY = (Code("55112-7", "LN", "Summary"), Code("55112-7", "LN", "Summary"))
SECTIONS = {
    Heading.IMPRESSION: (
        Code("19005-8", "LN", "Impressions"),
        Code("121073", "DCM", "Impression"),
    ),
    Heading.FINDINGS: (Code("59776-5", "LN", "Findings"), Code("121071", "DCM", "Finding")),
    Heading.TECHNIQUE: (
        Code("55111-9", "LN", "Current Procedure Descriptions"),
        Code("121065", "DCM", "Procedure Description"),
    ),
}
