"""What the interface says in other languages; English is in the code.

Add a language as another key of `_WORDS`. Words that are missing stay English.
"""

import bpy

_WORDS = {
    "de_DE": {
        "Add Asset Library": "Asset-Bibliothek hinzufügen",
        "Add Photo Maps": "Fotokarten hinzufügen",
        "Add Skin Material": "Hautmaterial hinzufügen",
        "Apply to Character": "Auf Figur anwenden",
        "BioFace Head": "BioFace-Kopf",
        "Blood": "Blut",
        "Contact Sheet": "Kontaktabzug",
        "Dataset": "Datensatz",
        "Blood ±": "Blut ±",
        "Draw": "Zeichnen",
        "Draw Face Box": "Gesichtsrahmen zeichnen",
        "Face Box": "Gesichtsrahmen",
        "Size (mm)": "Größe (mm)",
        "Freckles": "Sommersprossen",
        "Gain": "Faktor",
        "Freckles and Flush": "Sommersprossen und Röte",
        "Flush": "Röte",
        "From Image": "Aus Bild",
        "Generate Dataset": "Datensatz erzeugen",
        "Ground Truth of This Scene": "Wahre Werte dieser Szene",
        "Haemoglobin": "Hämoglobin",
        "Match Photos": "Fotos angleichen",
        "Melanin": "Melanin",
        "Melanin ±": "Melanin ±",
        "Oiliness": "Fettigkeit",
        "Photo": "Foto",
        "Photo to Skin": "Vom Foto zur Haut",
        "Picture": "Bild",
        "Pictures": "Bilder",
        "Pigment": "Pigment",
        "Project onto Character": "Auf die Figur projizieren",
        "Read Skin": "Haut auslesen",
        "Render Ground Truth": "Wahre Werte rendern",
        "Scatter (mm)": "Streuung (mm)",
        "Select a mesh": "Ein Mesh auswählen",
        "Skin Material": "Hautmaterial",
        "Skin Presets": "Hautvorgaben",
        "Uncertainty": "Unsicherheit",
        "Upgrade Skin Materials": "Hautmaterialien aktualisieren",
    },
}


def register() -> None:
    """Hand the words to Blender, for interface and operators."""
    bpy.app.translations.register(
        __package__,
        {
            language: {
                (context, english): said
                for english, said in words.items()
                for context in ("*", "Operator")
            }
            for language, words in _WORDS.items()
        },
    )


def unregister() -> None:
    """Undo `register`."""
    bpy.app.translations.unregister(__package__)
