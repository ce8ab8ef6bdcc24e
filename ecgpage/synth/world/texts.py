"""Words around the traces: scales, patients that never lived, measurements, interpretations in several languages."""

from typing import Final

from ecgpage.core.types import Rng

SYLLABLES: Final = (
    "ka", "lo", "min", "ter", "sa", "ra", "vik", "ber", "no", "el", "dor", "an", "is", "ul", "mar", "te", "ge", "pon", "schi",
)  # fmt: skip
TITLES: Final = (
    "ECG REPORT", "12-Lead ECG Report", "Resting ECG", "RUHE-EKG", "Electrocardiogram", "ELECTROCARDIOGRAMA", "ECG de repos",
    "12 lead ECG", "Standard 12-Lead", "EKG", "Elektrokardiogramm", "ROUTINE RETRIEVAL", "Report ECG", "Auto ECG",
)  # fmt: skip
INTERPRETATIONS: Final = {
    "en": (
        "Sinus rhythm", "Normal ECG", "Sinus tachycardia", "Left axis deviation", "Possible left atrial enlargement",
        "Nonspecific T wave abnormality", "Incomplete RBBB", "Abnormal ECG", "Borderline ECG", "Flattened T wave (V5)",
        "Prolonged QT interval", "ST depression, consider ischemia", "Minimal voltage criteria for LVH", "Unconfirmed report",
    ),
    "de": (
        "Sinusrhythmus", "Normales EKG", "Lagetyp normal", "Linkstyp", "Unbestätigter Bericht", "nicht befundet",
        "Unspezifische T-Veränderungen", "Linksschenkelblock", "Sonst normales EKG",
    ),
    "es": (
        "Ritmo sinusal", "ECG normal", "Bradicardia sinusal", "Eje izquierdo", "Bloqueo de rama derecha",
        "Se necesita confirmación del médico", "Alteraciones inespecíficas de la onda T",
    ),
    "fr": (
        "Rythme sinusal", "ECG normal", "Tachycardie sinusale", "Axe gauche", "Bloc de branche droit", "Non confirmé",
        "Trouble non spécifique de la repolarisation",
    ),
    "it": ("Ritmo sinusale", "ECG normale", "Deviazione assiale sinistra", "Non confermato", "Blocco di branca destra"),
    "pt": ("Ritmo sinusal", "ECG dentro da normalidade", "Sobrecarga ventricular esquerda", "Laudo não confirmado"),
}  # fmt: skip
FIELDS: Final = {
    "en": ("ID", "Name", "Sex", "Age", "Department", "Room", "Technician", "Ref-Phys.", "Medication", "Height", "Weight"),
    "de": ("Pat.-ID", "Name", "Geschlecht", "Alter", "Abteilung", "Raum", "Arzt", "Größe", "Gewicht", "Medikation"),
    "es": ("ID", "Nombre", "Sexo", "Edad", "Servicio", "Sala", "Técnico", "Médico", "Altura", "Peso"),
    "fr": ("N°", "Nom", "Sexe", "Age", "Service", "Salle", "Technicien", "Médecin", "Taille", "Poids"),
    "it": ("ID", "Nome", "Sesso", "Età", "Reparto", "Stanza", "Tecnico", "Medico", "Altezza", "Peso"),
    "pt": ("ID", "Nome", "Sexo", "Idade", "Setor", "Quarto", "Técnico", "Médico", "Altura", "Peso"),
}  # fmt: skip
MEASURES: Final = {
    "en": ("HR", "P", "PR", "QRS", "QT/QTc", "P-R-T axes", "RV5/SV1"),
    "de": ("Herzfrequenz", "P Dauer", "PQ Intervall", "QRS Dauer", "QT/QTc", "P-QRS-T Winkel", "RV5/SV1"),
    "es": ("FC", "Dur. P", "Int. PR", "Int. QRS", "QT/QTc", "Eje P/QRS/T", "Valor RV5/SV1"),
    "fr": ("FC", "Durée P", "PR", "Durée QRS", "QT/QTc", "Axes P-QRS-T", "RV5/SV1"),
    "it": ("FC", "Durata P", "PR", "Durata QRS", "QT/QTc", "Assi P-QRS-T", "RV5/SV1"),
    "pt": ("FC", "Dur. P", "Int. PR", "Dur. QRS", "QT/QTc", "Eixo P-QRS-T", "RV5/SV1"),
}
"""Names of heart rate, P, PR, QRS, QT, axes and amplitudes."""
FILTERS: Final = (
    "", "", "0.15-150 Hz", "0.05-150Hz", "0.67-25Hz AC50", "40Hz", "75Hz", "F50~", "F 60~ 0.5-40 Hz W", "0.5-100Hz AC50",
    "filter:(H50 d) 25Hz", "Filters: 0.05 - 150 Hz", "~ 50Hz", "TP 40Hz, AC 50Hz", "0.01-40Hz", "PBS 0.05-100Hz",
)  # fmt: skip
BRANDS: Final = (
    "REORDER No. {n}", "CHART PAPER {n}", "Z-fold {n} mm", "PRINTED IN {c}", "Sensitive thermal paper", "LOT {n}",
    "Do not use other paper than {n}",
)  # fmt: skip


def invent_name(rng: Rng) -> str:
    """Name of nobody, two words of random syllables."""
    words = ["".join(rng.choice(SYLLABLES, int(rng.integers(2, 4)))).capitalize() for _ in range(2)]
    text = (", " if rng.random() < 0.5 else " ").join(words)
    return text.upper() if rng.random() < 0.3 else text


def invent_date(rng: Rng) -> str:
    """Date and time in one of the usual forms."""
    day, month, year = int(rng.integers(1, 29)), int(rng.integers(1, 13)), int(rng.integers(1985, 2026))
    clock = f"{rng.integers(24)}:{rng.integers(60):02d}" + (
        f":{rng.integers(60):02d}" if rng.random() < 0.5 else ""
    )
    months = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
    form = int(rng.integers(4))
    date = (
        f"{day:02d}.{month:02d}.{year}", f"{month}/{day}/{year}", f"{year}-{month:02d}-{day:02d}",
        f"{day:02d}-{months[month - 1]}-{year}",
    )[form]  # fmt: skip
    return f"{date} {clock}"


def random_language(rng: Rng) -> str:
    """Language of a page's words: a key of the tables above."""
    return str(rng.choice(list(FIELDS), p=[0.55, 0.15, 0.12, 0.07, 0.06, 0.05]))


def patient_lines(language: str, rng: Rng) -> list[str]:
    """Lines of invented patient data, some of them left blank."""
    fields = FIELDS[language]
    values = {
        0: str(rng.integers(10**4, 10**8)), 1: invent_name(rng), 2: str(rng.choice(["M", "F", "Male", "Female", "-"])),
        3: f"{rng.integers(18, 96)}",
    }  # fmt: skip
    lines = [
        f"{fields[k]}: {value}" if rng.random() < 0.8 else f"{fields[k]} :" for k, value in values.items()
    ]
    lines += [f"{name}:" for name in fields[4 : 4 + int(rng.integers(0, len(fields) - 4))]]
    if rng.random() < 0.7:
        lines.insert(int(rng.integers(len(lines) + 1)), invent_date(rng))
    return lines


def measurement_lines(language: str, rng: Rng) -> list[str]:
    """Lines of measurements, as a table or one value a line."""
    values = (
        f"{rng.integers(38, 180)} bpm", f"{rng.integers(60, 140)} ms", f"{rng.integers(110, 230)} ms",
        f"{rng.integers(70, 170)} ms", f"{rng.integers(300, 480)}/{rng.integers(360, 510)} ms",
        f"{rng.integers(-30, 90)}/{rng.integers(-60, 110)}/{rng.integers(-30, 120)} °",
        f"{rng.uniform(0.2, 2.5):.3f}/{rng.uniform(0.1, 2.0):.3f} mV",
    )  # fmt: skip
    sign = str(rng.choice([" : ", "  ", ": ", " = ", "     "]))
    width = 15 if rng.random() < 0.3 else 0
    lines = [f"{name:<{width}}{sign}{value}" for name, value in zip(MEASURES[language], values, strict=True)]
    return lines[: int(rng.integers(1, len(lines) + 1))]


def interpretation_lines(language: str, rng: Rng) -> list[str]:
    """Lines of a device's opinion, which has nothing to do with the traces."""
    words = INTERPRETATIONS[language]
    count = int(rng.integers(1, min(len(words), 6)))
    lines = [str(line) for line in rng.choice(words, count, replace=False)]
    return [line.upper() for line in lines] if rng.random() < 0.25 else lines


def brand_line(rng: Rng) -> str:
    """Line that paper mills print on the margin."""
    country = str(rng.choice(["U.S.A.", "GERMANY", "ITALIA", "P.R.C.", "JAPAN"]))
    return str(rng.choice(BRANDS)).format(n=rng.integers(1000, 99999), c=country)


def scale_line(
    speed: float, gain: float, chest_gain: float | None, rng: Rng, *, layout_words: str = ""
) -> str:
    """True speed and gains in one of the forms of devices, with a filter and the layout's words now and then.

    ``speed`` mm/s, ``gain`` mm/mV; ``chest_gain``: that of the chest leads where it differs.
    """
    per_s, per_mv = _speed_words(speed, rng), _gain_words(gain, rng)
    if chest_gain is not None:
        limb, chest = (f"{g:.1f}" if rng.random() < 0.3 else f"{g:g}" for g in (gain, chest_gain))
        per_mv = str(
            rng.choice(
                [
                    f"Limb: {limb} mm/mV Chest: {chest} mm/mV", f"{limb}/{chest} mm/mV", f"{limb} mm/mV  V: {chest} mm/mV",
                    f"{gain:g}mm/mV {chest_gain:g}mm/mV",
                ]
            )
        )  # fmt: skip
    elif rng.random() < 0.12:
        per_mv = f"Limb: {gain:g} mm/mV Chest: {gain:.1f} mm/mV"
    if rng.random() < 0.2:
        per_s = f"Speed: {per_s}"
        per_mv = per_mv if per_mv.startswith("Limb") else f"Gain: {per_mv}"
    if rng.random() < 0.06:
        per_mv = f"x{gain / 10:g}" if chest_gain is None else per_mv
    parts = [per_s, per_mv] if rng.random() < 0.75 else [per_mv, per_s]
    parts.insert(int(rng.integers(0, 3)), str(rng.choice(FILTERS)))
    if layout_words and rng.random() < 0.6:
        parts.append(layout_words)
    if rng.random() < 0.2:
        parts.append(
            str(
                rng.choice(
                    ["SE-3 V1.0", "V6.73(2)", "12SL 241 HD", "PH110B", "9.0.9", f"{rng.integers(10**5)}"]
                )
            )
        )
    blank = str(rng.choice([" ", "  ", "   ", "      ", ", ", " | "], p=[0.3, 0.3, 0.15, 0.1, 0.1, 0.05]))
    return blank.join(part for part in parts if part)


def _speed_words(speed: float, rng: Rng) -> str:
    number = f"{speed:.1f}" if rng.random() < 0.15 else f"{speed:g}"
    form = "{}mm/s", "{} mm/s", "{}mm/sec", "{} mm/sec", "{} mm / s", "{}MM/S"
    return str(rng.choice(form, p=[0.38, 0.34, 0.1, 0.1, 0.04, 0.04])).format(number)


def _gain_words(gain: float, rng: Rng) -> str:
    number = str(rng.choice([f"{gain:g}", f"{gain:.1f}", f"{gain:.2f}"], p=[0.82, 0.12, 0.06]))
    form = "{}mm/mV", "{} mm/mV", "{} mm / mV", "{}MM/MV"
    if rng.random() < 0.06:
        return f"{gain / 10:g} cm/mV"
    return str(rng.choice(form, p=[0.46, 0.44, 0.05, 0.05])).format(number)


def layout_words(columns: int, rows: int, seconds: float, strips: int, rng: Rng) -> str:
    """Words of a layout, such as "4*2.5s+1r"."""
    tail = f"+{strips}r" if strips else ""
    return str(
        rng.choice(
            [
                f"{columns}*{seconds:g}s{tail}",
                f"{rows}x{columns}{'+' + str(strips) if strips else ''}",
                f"{rows}ch x{columns}",
            ]
        )
    )
