"""Identifiers that can be told by their form or by the words around them, in several languages.

Rules on folded text see neither case nor diacritics; rules on raw text need capitals.
"""

from __future__ import annotations

from dataclasses import dataclass

import regex

from training.site.spans import Kind


@dataclass(frozen=True)
class Rule:
    """A pattern; its group `told`, where it has one, is what is replaced."""

    name: str
    kind: Kind
    pattern: regex.Pattern[str]
    folded: bool


def _any(words: str) -> str:
    return "|".join(word.replace("_", r"\s+") for word in words.split())


_MONTHS = _any(
    """
    january february march april june july august september october november december
    jan feb mar apr jun jul aug sept sep oct nov dec may
    januar jaenner janner februar feber marz maerz mai juni juli oktober dezember okt dez mrz
    janvier fevrier mars avril juin juillet aout septembre octobre novembre decembre janv fevr juil
    enero febrero marzo abril mayo junio julio agosto septiembre setiembre octubre noviembre diciembre
    ene abr ago dic
    gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre gen mag giu lug set ott
    janeiro fevereiro marco maio junho julho setembro outubro novembro dezembro
    januari februari maart mei augustus mrt
    stycznia lutego marca kwietnia maja czerwca lipca sierpnia wrzesnia pazdziernika listopada grudnia
    styczen luty kwiecien czerwiec lipiec sierpien wrzesien pazdziernik listopad grudzien
    januara februara leden unora brezna dubna kvetna cervna cervence srpna zari rijna listopadu prosince
    ocak subat mart nisan mayis haziran temmuz agustos eylul ekim kasim aralik
    tammikuu helmikuu maaliskuu huhtikuu toukokuu kesakuu heinakuu elokuu syyskuu lokakuu marraskuu joulukuu
    января февраля марта апреля мая июня июля августа сентября октября ноября декабря
    январь февраль март апрель июнь июль август сентябрь октябрь ноябрь декабрь
    ιανουαριου φεβρουαριου μαρτιου απριλιου μαιου ιουνιου ιουλιου αυγουστου σεπτεμβριου οκτωβριου
    νοεμβριου δεκεμβριου
    """.replace("й", "и")
)
_MONTH = rf"(?:{_MONTHS})\.?"
_YEAR = r"(?:(?:19|20)\d\d|'\d\d)"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MON = r"(?:0?[1-9]|1[0-2])"
_YY = r"(?:(?:19|20)?\d\d)"
_UNIT = (
    r"(?!\s?(?:mm|cm|m|ml|l|cc|hu|he|uh|mg|g|kg|m?gy|msv|kvp?|ma|mas|s|sec|sek|min|h|hz|x|×|%|°|ng|u|"
    r"iu|ie|µ\w+)\b)(?!\s?[×%°])"
)
_NOT_DECIMAL = r"(?<![\w.,/+-])"
_OF_DATE = _any(
    """
    on dated from since of until before after to und and am vom zum seit bis vor nach ab den du au le depuis
    avant del el al desde dal il nel dated: datum: date: fecha: data: date_of exam_of ct_of mrt_vom
    voruntersuchung vergleich compared_to comparison prior previous von op st.p. z.n.
    """
)

_LABELS = _any(
    r"""
    mrn patient_?-?id pat\.?-?id pid patienten-?id patienten-?nr\.? patientennummer pat\.?-?nr\.?
    fall-?nr\.? fallnummer fall-?id aufnahme-?nr\.? aufnahmenummer auftrags-?nr\.? auftragsnummer
    auftrag anforderungs-?nr\.? anforderungsnummer untersuchungs-?nr\.? untersuchungsnummer
    unters\.?-?nr\.? acc(?:ession)?\.?(?:_?(?:no|nr|number|num|id))?\.? versicherten-?nr\.?
    versichertennummer versicherungs-?nr\.? versicherungsnummer kv-?nr\.? svnr\.? sv-?nr\.? ahv-?nr\.? nhs(?:_(?:no|number))?\.?
    ssn nir ipp nda nip iep n°_?(?:dossier|patient)? dossier numero_de_dossier dni nie nif nhc
    historia(?:_clinica)? n\.?_?historia expediente cpf rg sus codice_fiscale c\.?f\.? cartella tessera
    bsn patientnummer personnummer cpr pesel case_(?:no|number|id)\.? chart(?:_(?:no|number))?\.?
    order(?:_(?:no|number|id))\.? requisition exam(?:_(?:no|number|id))\.? encounter visit_(?:no|number)\.?
    hosp(?:ital)?_(?:no|number)\.? record_(?:no|number)\.? medical_record(?:_number)? account(?:_(?:no|number))?\.?
    id identifier id-nr\.? ref(?:erence)?_?(?:no|nr|number)\.? ref\. serial(?:_(?:no|number))? seriennummer
    study_(?:id|no|number) report_(?:id|no|number) befund-?nr\.? histo(?:logie)?-?nr\.? lanr bsnr dr\._no gmc npi dea
    номер иб карта
    """
)

# "M." is Monsieur in French, and Morbus in German
_EPONYMS = _any(
    """
    crohn paget hodgkin bechterew addison wilson boeck osler scheuermann meniere basedow alzheimer parkinson
    whipple cushing perthes ormond castleman waldenström recklinghausen behcet gaucher fabry caroli
    hirschsprung dupuytren ledderhose forestier werlhof pick huntington sudeck köhler kienböck kahler still
    """.title()
)
_TITLES = (
    r"(?:[Dd][Rr]\.?(?:\s?(?:[Mm]ed|[Uu]niv|h\.?\s?c|rer\.?\s?nat|[Hh]abil|n\.?\s?med)\.?)*|DR\.?|[Pp]rof(?:essor|\.)?|PROF\.?|"
    r"P\.?D\.?(?=\s(?:Dr|[\p{Lu}]))|Priv\.?-?Doz\.?|Doz\.|Dipl\.?-?Med\.?|"
    r"Herrn?|Frau|Hr\.|Fr\.(?=\s\p{Lu})|Frl\.|Mr\.?|Mrs\.?|Ms\.?|MR\.|MRS\.?|MS\.|Miss|Sir|Lady|Doctor|Docteur|"
    rf"M\.(?=\s(?!(?:{_EPONYMS})\b)\p{{Lu}})|"
    r"Mme\.?|Mlle|Mmes|Monsieur|Madame|Mademoiselle|MM\.|Pr\.?(?=\s\p{Lu}\p{Ll})|Professeur|Sig\.?(?:ra|na)?\.?|Signora?|Signor|"
    r"Dott\.?(?:ssa)?\.?|Dottor(?:essa)?|Sr\.?|Sra\.?|Srta\.?|Señora?|Señor|Don(?=\s\p{Lu})|Doña|D\.ª|Dra\.?|Doctora?|"
    r"Dhr\.?|Mevr\.?|Mw\.?|Meneer|Mevrouw|Pan|Pani|lek\.(?:\s?med\.)?|MUDr\.|Bc\.|Fru|Hr|"
    r"OA|OÄ|Oberarzt|Oberärztin|Chefarzt|Chefärztin|Assistenzarzt|Assistenzärztin|"
    r"Nurse|Schwester|Pfleger|RN|MTRA|MTA|Attending|Resident|Fellow|Consultant|Registrar|"
    r"[Дд]октор|[Вв]рач|[Пп]роф\.|[Гг]-н|[Гг]-жа|[Гг]осподин|[Пп]ациент(?:ка)?|Δρ\.?|κ\.)"
)
_PARTICLES = (
    r"(?:von|van|vom|zu|zur|zum|den|der|de|del|della|dela|di|da|dal|dos|das|du|des|la|le|les|el|al|bin|ibn|ben|abu|ter|ten|te|"
    r"af|av|y|e|und|St\.)"
)
_STOP = (
    r"(?!(?:Befund|Beurteilung|Findings?|Impression|Patient(?:in)?|Kollegen?|Kollegin|CT|MRT?|MRI|PET|Klinik|Indikation|"
    r"Technik|Technique|Physician|Radiologist|Radiologe|Arzt|Doctor|Staff|Team|Service|Comparison|History|The|This|There|No|Kein|Keine|Der|Die|Das|Bei|Mit|Im|In|And|"
    r"Date|Datum|Conclusion|Conclusions|Résultats?|Hallazgos|Referto|Conclusioni|Fragestellung|Anamnese)\b)"
)
_CAPITAL = rf"{_STOP}\p{{Lu}}(?:['’]\p{{Lu}})?[\p{{L}}\p{{M}}'’]+(?:-\p{{Lu}}[\p{{L}}\p{{M}}'’]+)*"
_INITIAL = r"\p{Lu}\.(?:-?\p{Lu}\.)?"
_WORD_OF_NAME = rf"(?:{_INITIAL}|{_CAPITAL})"
_NAME = (
    rf"(?:{_PARTICLES}[ \t]+){{0,3}}{_WORD_OF_NAME}"
    rf"(?:(?:[ \t]+|(?<=\.))(?:{_PARTICLES}[ \t]+){{0,2}}{_WORD_OF_NAME}){{0,3}}"
)
_LAST_FIRST = rf"{_NAME}(?:,[ \t]?{_NAME})?"

_SIGNED = (
    r"(?:(?:electronically|digitally)[ \t]+(?:signed|approved|verified)|(?:dictated|transcribed|typed|signed|approved|verified|"
    r"read|reported|interpreted|reviewed|authenticated|finali[sz]ed|attested|prepared|edited|authori[sz]ed|performed|"
    r"supervised|co-?signed)[ \t]+by|signed:|signature|dictated:|transcribed:|"
    r"reporting[ \t]+(?:radiologist|physician|doctor)|attending(?:[ \t]+radiologist)?:|radiologist:|"
    r"(?:elektronisch|digital)[ \t]+(?:signiert|freigegeben|unterschrieben|validiert)|gez\.|gezeichnet|unterschrift|unterzeichnet|signiert|"
    r"befundet[ \t]+(?:von|durch)|befunder(?:in)?:|befundende[rs]?[ \t]+(?:arzt|ärztin):?|diktiert|geschrieben[ \t]+von|schreibkraft|freigegeben|validiert|vidiert|"
    r"erstbefunder|zweitbefunder|untersucher|(?:mit[ \t]+)?(?:freundlichen?|besten?|kollegialen?)[ \t]+(?:kollegialen[ \t]+)?gr(?:ü|ue)(?:ß|ss)en?|mfg\b|(?-i:i\.[ ]?[AV]\.(?=[ \t]+(?:Dr|Prof|OA|OÄ|\p{Lu}\.)))|"
    r"sign[ée]e?[ \t]+(?:[ée]lectroniquement|par)|dict[ée]e?[ \t]+par|valid[ée]e?[ \t]+par|r[ée]dig[ée]e?[ \t]+par|relu[ \t]+par|interpr[ée]t[ée]e?[ \t]+par|"
    r"cordialement|confraternellement|bien[ \t]+(?:cordialement|confraternellement)|"
    r"firmado|firmada|dictado[ \t]+por|informado[ \t]+por|validado[ \t]+por|fdo\.|atentamente|"
    r"firmato|firma(?:[ \t]+digitale)?:|refertato[ \t]+da|dettato[ \t]+da|medico[ \t]+refertante|medico[ \t]+radiologo|cordiali[ \t]+saluti|distinti[ \t]+saluti|"
    r"assinado|laudado[ \t]+por|m[ée]dico[ \t]+respons[áa]vel|ondertekend|gedicteerd|met[ \t]+vriendelijke[ \t]+groet(?:en)?|"
    r"podpisa[łl]|opisa[łl]|подпис\p{L}*|врач:|sincerely|(?:kind|best)[ \t]+regards|with[ \t]+regards)"
)

# To the end of the line or, where lines were joined, of the sentence: no title, initial or degree
_SIGNATURE = r"(?:[^\n]{0,200}?(?:(?-i:(?<=\p{Ll}{4}|\d\d|MD|M\.D)(?<!Prof|Univ|habil|dent|Priv|Dipl)[.;](?=\s))|(?=\n)|\Z)|[^\n]{0,200})"

_INSTITUTION = (
    r"(?:Hospitals?|HOSPITAL|Clinics?|Medical[ \t]Cent(?:er|re)|Health[ \t]?(?:care|System)?|Infirmary|Sanatorium|"
    r"(?:Universitäts|Uni|Kreis|Stadt|Bezirks|Landes|Kinder|Frauen|Reha|Tages|Fach|Privat)?-?[Kk]lini(?:k|ken|kum)|(?:Stadt|Kreis|Land)?[Kk]rankenhaus|Spital|Kantonsspital|Inselspital|"
    r"MVZ|Praxis|Gemeinschaftspraxis|Charité|H[ôo]pital|H[ôo]pitaux|CHU|CHRU|CHR|Clinique|Institut|"
    r"Ospedale|Policlinico|Casa[ \t]di[ \t]Cura|Cl[íi]nica|Hospital(?:es)?|Sanatorio|Centro[ \t]M[ée]dico|Ziekenhuis|UMC|Szpital|Больница|Клиника)"
)
_PLACE_WORD = r"(?:\p{Lu}[\p{L}\p{M}'’-]*|St\.|der|des|de|du|la|le|les|of|and|am|an|im|zu|zum|zur|in|rechts|links|di|del|della|dell|d['’]\p{Lu}\p{L}+)"

_PHONE = (
    r"(?:\+|00)\d{1,3}[\s./()-]{0,3}(?:\d[\s./()-]{0,2}){6,12}\d|"
    r"\(0?\d{2,5}\)[\s./-]{0,2}(?:\d[\s./-]?){4,9}\d|"
    r"0\d{1,4}[\s]?[/-][\s]?(?:\d[\s-]?){4,9}\d|"
    r"0\d(?:[ .]\d\d){4}|"
    r"\d{3}[ .-]\d{3}[ .-]\d{4}"
)

_FOLDED: tuple[tuple[str, Kind, str], ...] = (
    ("e-mail address", "EMAIL", r"[\w.+%-]+\s?(?:@|\(at\)|\[at\])\s?[\w-]+(?:\.[\w-]+)+"),
    ("web address", "URL", r"(?:https?|ftp|file|s?ftp|dicom|hl7)://\S+|www\.[\w-]+\.\S+"),
    ("file path", "ID", r"(?<!\w)(?:[a-z]:\\|\\\\)[^\s]+|(?<![\w/])/(?:[\w.-]+/){2,}[\w.-]+"),
    ("UID", "ID", r"(?<![\d.])[0-2](?:\.\d+){5,}"),
    ("UUID", "ID", r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"),
    ("IP address", "ID", r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\d|\.\d)"),
    ("labelled telephone number", "PHONE",
     r"\b(?:tel(?:efon|ephone|efono)?|phone|ph|fax|pager|beeper|mobil(?:e|telefon)?|handy|cell|durchwahl|dw|ext(?:ension)?|"
     r"apparat|telefonnummer|dect|funk|piepser|tel\.?-?nr|telefoon|тел)[.:#\s-]{0,4}(?P<told>(?:nr\.?|no\.?)?\s?[+(]?\d[\d\s()./-]{1,18}\d)"),
    ("telephone number", "PHONE", rf"(?<![\w.+])(?:{_PHONE})(?![\w])"),
    ("labelled number", "ID",
     rf"(?<!\w)(?:{_LABELS})\s?(?:no|nr|number|nummer|num|n)?[.:#=°\s]{{1,4}}(?P<told>(?=[\w./-]*\d)[a-z0-9](?:[\w./-]*\w)?(?:[ ]\d{{2,}}(?!\s?(?:mm|cm)))*)"),
    ("social security number", "ID", r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])"),
    ("IBAN", "ID", r"\b[a-z]{2}\d{2}(?:\s?[a-z0-9]{4}){3,7}(?:\s?[a-z0-9]{1,3})?\b(?<=\d\w*)"),
    ("codice fiscale", "ID", r"\b[a-z]{6}\d\d[a-z]\d\d[a-z]\d{3}[a-z]\b"),
    ("written date", "DATE",
     rf"(?<![\w.])(?:{_DAY}\s?(?:st|nd|rd|th|er|\.|º|°)?[\s.,/-]*(?:of\s|de\s|d')?\s?{_MONTH}(?:[\s.,/-]*(?:de\s|del\s|of\s)?\s?{_YEAR})?"
     rf"|{_MONTH}\s+{_DAY}(?:st|nd|rd|th)?(?!\d)(?!\s?(?:mm|cm|[.,]\d))(?:[\s,]*{_YEAR})?|{_MONTH}[\s,./-]*(?:de\s|del\s|of\s)?{_YEAR})(?![\w])"),
    ("month", "DATE", rf"\b(?:in|im|of|since|seit|anfang|ende|mitte|early|late|mid|en|de|del|depuis|desde|nel|dal|bis|until|last|letzten|v)[ -](?:{_MONTHS})\b(?!\s?(?:be|have|not|also|represent))"),
    ("East Asian date", "DATE", r"(?:(?:19|20)\d\d|令和\d+|平成\d+|昭和\d+)\s?(?:年|년)\s?\d{1,2}\s?(?:月|월)(?:\s?\d{1,2}\s?(?:日|일))?|\d{1,2}月\d{1,2}日"),
    ("numeric date", "DATE",
     rf"(?<![\d.,/]){_DAY}\s?([./-])\s?{_MON}\s?\1\s?{_YY}(?![\d])(?!\s?(?:mm|cm)\b)|(?<![\d.,/]){_MON}\s?([./-])\s?{_DAY}\s?\2\s?{_YY}(?![\d])(?!\s?(?:mm|cm)\b)"
     rf"|(?<!\d)(?:19|20)\d\d\s?([./-])\s?{_MON}\s?\3\s?{_DAY}(?!\d)|(?<!\d)(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[t ]?\d{{4,6}})?(?!\d)"
     rf"|(?<!\d)(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:19|20)\d\d(?!\d)"),
    ("month and year", "DATE", rf"(?<![\d./,]){_MON}[/.-](?:19|20)\d\d(?!\d)"),
    ("day and month", "DATE", rf"\b(?:{_OF_DATE})\s{{1,2}}(?P<told>{_DAY}\.\s?{_MON}\.(?!\d)|{_DAY}/{_MON}(?![\d/])|{_MON}/{_DAY}(?![\d/])){_UNIT}"),
    ("day and month", "DATE", rf"(?<![\d.,x×*/-]\s?)(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.(?!\d){_UNIT}"),
    ("year", "DATE", rf"(?<![\d.,/:x×+-])(?<!\bimages?\s)(?<!\bhu\s)(?:19[2-9]\d|20[0-4]\d)(?![\d/:]|[.,]\d|-\d)(?:er)?{_UNIT}"),
    ("quarter", "DATE", r"\bq[1-4][ /-]?(?:19|20)\d\d\b"),
    ("time", "TIME",
     r"(?<![\d.:,/])(?<!(?:image|images|im|img|bild|serie|series|se|slice|ratio)\s?)(?:[01]?\d|2[0-4])[:][0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?(?![\d:])(?:\s?(?:[ap]\.?m\b\.?|uhr|hrs?|h\b))?"
     r"|(?<![\d.:,])(?:[01]?\d|2[0-4])[.h][0-5]\d\s?(?:uhr|h\b|hrs)|(?<![\d.:,])(?:[01]?\d|2[0-4])\s?h\s?[0-5]\d(?!\d)|(?<![\d.:,])(?:0?\d|1[0-2])(?:[.:][0-5]\d)?\s?[ap]\.?m\.?(?!\w)"
     r"|\b(?:um|gegen|ab)\s(?:[01]?\d|2[0-4])\s?uhr(?:\s[0-5]?\d)?\b|\b(?:1[3-9]|2[0-4])\s?uhr\b|(?<!\d)(?:[01]\d|2[0-3])[0-5]\d\s?(?:hrs|hours|uhr)\b"),
    ("age of ninety or more", "AGE",
     r"(?<![\d.,])(?:9\d|1[0-2]\d)(?=[\s-]{0,2}(?:years?|yrs?|yr|y\.?/?o|yo|j\.|jahre?|jahrige|jahrig|jaehrig|ans|anos|anni|jaar|lat|лет|года?|歳|岁|세|a\.)(?:\b|[\s.,;-]|$))"
     r"|\b(?:age[d:]?|alter:?|age\s?de|edad:?|eta:?)\s(?:of\s)?(?P<told>(?:9\d|1[0-2]\d))(?![\d.,%])"),
    ("postal code and town", "PLACE", r"\b[a-z]{1,2}\d[a-z\d]?\s\d[a-z]{2}\b"),
    ("code of letters and digits", "ID", r"(?<!\w)(?!\d+(?:[x×]\d+)+(?!\w))(?:[a-z]{1,6}[-/_]?\d{4,}|[a-z]{1,5}[-/]\d{2,4}[-/]\d{2,}|\d{4,}[-/_]?[a-z]{1,3}(?=\b)|"
     r"(?=[a-z]*\d)(?=\d*[a-z])(?=(?:[a-z]*\d){3})[a-z\d]{8,})[\w/-]*" + _UNIT),
    ("long number", "ID",
     rf"{_NOT_DECIMAL}\d{{6,}}(?![\w])(?![.,]\d){_UNIT}|{_NOT_DECIMAL}(?!{_DAY}[./-]{_MON}[./-]{_YY}(?!\d)|{_MON}[./-]{_DAY}[./-]{_YY}(?!\d)|(?:19|20)\d\d-\d\d-\d\d)(?=(?:\d[ ./-]?){{7,}})\d{{2,}}(?:[ ./-]\d{{2,}})*[ ./-]\d{{3,}}(?:[ ./-]\d{{2,}})*(?![\w]){_UNIT}"),
)  # fmt: skip

_RAW: tuple[tuple[str, Kind, str], ...] = (
    (
        "signature",
        "SIGNATURE",
        rf"(?im)(?:(?<=^[\s*_-]*)|(?<=[,.;:!?]\s)|(?<=\s{{2}}))(?<![\w-]){_SIGNED}{_SIGNATURE}(?:\n[ \t]*(?-i:{_LAST_FIRST}|{_TITLES}[^\n]*)[ \t]*(?:,[^\n]*)?(?=\n|$))*",
    ),
    ("signature", "SIGNATURE", rf"(?i)\b{_SIGNED}\s*[:,-]?\s+(?-i:{_TITLES}\s+)*(?-i:{_LAST_FIRST})(?:(?<=M\.D\.|D\.O\.)|[^\n.;]*)"),
    ("slashed signature", "SIGNATURE", r"/[sSeE]/[^\n]*"),
    ("name after a title", "NAME", rf"(?<![\p{{L}}\d]){_TITLES}(?:[ \t]+{_TITLES})*[ \t]*(?:\n[ \t]*)?(?P<told>{_LAST_FIRST})"),
    ("name after a title in small letters", "NAME", r"(?<![\p{L}\d])(?:dr|prof|mr|mrs)\.?[ \t]+(?P<told>(?!(?:med|in|on|of|the|is|was|and|mit|und|with|who|has|scan|image)\b)\p{Ll}{2,})"),
    ("relative", "NAME", rf"(?i)(?<![\p{{L}}])(?:tochter|sohn|ehefrau|ehemann|ehegattin|ehegatte|gattin|gatte|mutter|vater|schwester|bruder|enkel(?:in)?|neffe|nichte|onkel|tante|schwiegertochter|schwiegersohn|lebensgefährt(?:e|in)|betreuer(?:in)?|angehörigen?|hausarzt|hausärztin|daughter|wife|husband|son|mother|father|sister|brother|niece|nephew|aunt|uncle|grandson|granddaughter|partner|caregiver|guardian|fille|fils|épouse|époux|mari|femme|mère|père|sœur|soeur|frère|hija|hijo|esposa|esposo|marido|mujer|madre|padre|hermana|hermano|figlia|figlio|moglie|marito|sorella|fratello|córka|syn|żona|mąż|matka|ojciec)[ \t]*[,:(]?[ \t]*(?-i:(?P<told>(?!\p{{L}}*(?:karzinom|krebs|itis|ose|pathie|tonie|betes|infarkt|ung|om|ie|schaden)\b){_NAME}))"),
    ("labelled name", "NAME", rf"(?im)(?<![\p{{L}}])(?:pat(?:ient(?:in|en)?)?[’']?s?[ \t]*(?:name|-name)|name(?:[ \t]of[ \t]patient)?|patientenname|nachname|vorname|familienname|surname|first[ \t]name|last[ \t]name|given[ \t]name|nom|pr[ée]nom|nom[ \t]du[ \t]patient|nombre|apellidos?|paciente|paziente|cognome|nome|naam|nazwisko|imi[ęe]|pacjent(?:ka)?|ф\.?и\.?о\.?|пациент|geb\.|geborene|n[ée]e|dear|liebe[r]?|sehr[ \t]geehrte[r]?(?:[ \t](?:frau|herr))?(?:[ \t]kolleg(?:e|in))?|cher|ch[èe]re|estimado|gentile|zuweiser|überweiser|requesting[ \t](?:physician|doctor)|referring[ \t](?:physician|doctor)|ordering[ \t](?:physician|provider)|referrer|requested[ \t]by|referred[ \t]by|prescripteur|solicitante|richiedente)[ \t]*[:=]?[ \t]+(?-i:{_TITLES}[ \t]+)*(?-i:(?P<told>{_LAST_FIRST}))"),
    ("labelled patient", "NAME", rf"(?:Patient(?:in)?|Pat\.|PATIENT|PAT)[ \t]*[:=][ \t]*(?P<told>{_LAST_FIRST})"),
    ("name with birth sign", "NAME", rf"(?P<told>{_LAST_FIRST})(?=,?[ \t]*(?:[( ]\*[ ]?\d|\(?(?:geb\.|born|n[ée]e?[ \t]le|nat[oa][ \t]il|DOB|d\.o\.b)))"),
    ("person spoken to", "NAME", rf"(?i)\b(?:discussed|communicated|conveyed|notified|relayed|called|paged|informed|spoken?|results?[ \t]given|besprochen|mitgeteilt|telefonisch|durchgegeben|übermittelt|discut[ée]s?|communiqu[ée]s?|comentad[oa]|comunicad[oa]|comunicat[oa])[ \t]+(?:[\p{{L}}]+[ \t]+){{0,4}}?(?:with|to|by|mit|an|avec|à|con|a|al)[ \t]+(?:the[ \t]+)?(?-i:{_TITLES}[ \t]+)*(?-i:(?P<told>{_LAST_FIRST}))"),
    ("name before degree", "NAME", rf"(?P<told>{_NAME})(?=,[ \t]*(?:M\.?D\.?|D\.?O\.?|Ph\.?D\.?|MBBS|FRCR|FRCPC|FACR|R\.?N\.?|N\.?P\.?|P\.?A\.?(?:-C)?|R\.?T\.?)(?![\p{{L}}]))"),
    ("name in DICOM's form", "NAME", r"(?<![\w^])\p{L}[\p{L}\p{M}'’ .-]*\^[\p{L}\p{M}'’ .^-]*\p{L}"),
    ("institution", "PLACE", rf"(?<![\p{{L}}])(?:{_PLACE_WORD}[ \t]+){{0,4}}(?<=\p{{Lu}}[\p{{L}}\p{{M}}'’.-]*[ \t]+(?:(?:of|der|de|am|and)[ \t]+)?){_INSTITUTION}(?![\p{{Ll}}])(?:[ \t]+{_PLACE_WORD}){{0,4}}"),
    ("institution", "PLACE", rf"(?<![\p{{L}}]){_INSTITUTION}[ \t]+(?:{_PLACE_WORD}[ \t]+){{0,4}}\p{{Lu}}[\p{{L}}\p{{M}}'’-]+"),
    ("ward or room", "PLACE", r"(?i)(?<![\p{L}])(?:station|ward|zimmer|room|rm\.?|bett|bed|raum|gebäude|building|bldg\.?|floor|etage|stockwerk|haus|habitaci[óo]n|cama|chambre|stanza|reparto|letto|salle|unit)[ \t]?(?:nr\.?|no\.?|\#)?[ \t]?(?-i:[A-Z]{0,3}[ .-]?\d{1,4}[A-Za-z]?(?:[./-]\d+)?)(?![\w])(?!\s?(?:mm|cm|ml))"),
    ("street", "PLACE", r"(?<![\p{L}])(?:\p{Lu}[\p{L}\p{M}'’.-]*[ \t-])*\p{Lu}?[\p{L}\p{M}'’-]*(?:stra(?:ß|ss)e|str\.|gasse|allee|platz|weg|ring|damm|ufer|chaussee|laan|straat)[ \t]+\d{1,4}[ ]?[a-zA-Z]?(?![\w])"),
    ("street", "PLACE", r"(?<![\p{L}\d])\d{1,5},?[ \t]+(?:\p{Lu}[\p{L}'’.-]+[ \t]+){1,3}(?:Street|St\.?|Avenue|Ave\.?|Road|Rd\.?|Lane|Ln\.?|Drive|Dr\.|Boulevard|Blvd\.?|Court|Ct\.|Way|Place|Pl\.|Square|Terrace|Highway|Hwy)(?![\p{L}])"),
    ("street", "PLACE", r"(?<![\p{L}])(?:\d{1,4},?[ \t]+)?(?i:rue|avenue|boulevard|place|quai|chemin|via|viale|piazza|corso|calle|avenida|avda\.?|plaza|paseo|rua|travessa|ulica|ul\.)[ \t]+(?:(?:de|du|des|la|le|les|del|della|di|el|las|los|d['’])[ \t]*)*\p{Lu}[\p{L}\p{M}'’-]+(?:[ \t]+\p{Lu}[\p{L}\p{M}'’-]+)*(?:,?[ \t]*\d{1,4}[a-z]?)?(?![\p{L}\d])"),
    ("postal code and town", "PLACE", r"(?<![\w.,/-])(?:(?:D|A|CH|F|I|E|NL|B|L)[- ])?\d{4,5}(?:[ ][A-Z]{2})?[ \t]+\p{Lu}\p{Ll}{2,}(?:[ -](?:am|an|der|im|bei|in|sur|la|le|di|del|\p{Lu}\p{Ll}+))*(?![\p{L}])"),
    ("postal code and town", "PLACE", r"\p{Lu}\p{Ll}+(?:[ ]\p{Lu}\p{Ll}+)*,[ ][A-Z]{2}[ ]\d{5}(?:-\d{4})?"),
    ("town of residence", "PLACE", r"(?i)(?<![\p{L}])(?:wohnhaft|wohnt|lives|living|resident|residing|domicili[ée]e?|residente|resident[ea]|born|geboren|n[ée]e?|nat[oa]|nacid[oa]|nascid[oa]|geb\.|geboren[ \t]te)[ \t]+(?:in|at|of|zu|[àa]|en|em)[ \t]+(?-i:(?P<told>\p{Lu}[\p{L}\p{M}'’-]+(?:[ ]\p{Lu}[\p{L}\p{M}'’-]+)*))"),
)  # fmt: skip

RULES: tuple[Rule, ...] = (
    *(Rule(n, k, regex.compile(p, regex.MULTILINE), True) for n, k, p in _FOLDED),
    *(Rule(n, k, regex.compile(p), False) for n, k, p in _RAW),
)
