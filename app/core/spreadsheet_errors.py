"""The values that a spreadsheet shows in place of the result of a formula, in every language of Excel. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Final


def _fold(word: str) -> str:
    # The four i of Turkish are one here.
    return word.casefold().replace("i\u0307", "i").replace("ı", "i")


def _words(text: str) -> frozenset[str]:
    return frozenset(map(_fold, text.split()))


# What stands between the # and the ! or ?.
_WITH_MARK: Final = _words(
    """
    n/a div/0 name null num ref value spill calc field blocked connect external busy python unknown data
    error cycle circ array timeout loading na getting_data exceeded
    wert zahl bezug überlauf kalk feld blockiert verbinden unbekannt extern daten_abrufen ausgelastet
    nom nul nombre valeur propagation epars champ bloque connexion inconnu externe
    nombre nulo núm num valor desbordamiento campo bloqueado conectar desconocido externo ocupado
    nome despejar derramar excedente despejo preenchimento
    rif nullo valore espansione sconosciuto bloccato connetti
    naam leeg getal verw waarde deel/0 delen/0 deling.door.0 overloop veld geblokkeerd onbekend
    navn verdi værdi nul division/0 reference spild overløb spredning overflyt ugyldig tom
    namn skärning ogiltigt referens värdefel saknas spiller område överflöd
    nimi tyhjä luku viittaus arvo jako/0 puuttuu levittyminen läikkyminen
    nazwa zero liczba adr arg dzielenie dziel/0 n/d rozlanie obl puste zablokowane
    název hodnota číslo odkaz dělení_nulou presah přesah výpočet
    názov delenie_nulou delenienulou neplatný neplatné presah výpočet
    név nulla szám hiv érték zéróosztó kibontás számítás
    nume valoare vărsare conectare blocat preluare_date
    име знач стойн число адр
    имя пусто число ссылка знач дел/0 перенос вычисл поле данные неизвестно заблокировано подключение занято
    ім'я число посилання значення діл/0 знач порожньо
    ονομα κενο αριθ αναφ τιμη διαιρ./0
    ad boş sayı başv değer sayı/0 böl/0 taşma hesap alan hata döngü engellendi bağlan
    naziv broj vrijednost dij/0 ime nič štev sklic vredn del/0
    nimi väärtus viide
    スピル 溢出 분산
    """
)
_WITHOUT_MARK: Final = _words(
    """
    n/a n/d n/b n/v i/t nv н/д δ/υ yok div/0 getting_data
    není_k_dispozici není_k_dispozic nedostupný nedostupné hiányzik puuttuu saknas
    daten_abrufen obtention_donnees obtenir_donnees obtenir_données obtenint_dades
    obtenção_de_dados obtendo_dados a_obter_dados obteniendo_datos recupero_dati estrazione_dati_in_corso
    gegevens_ophalen gegevens.ophalen henter_data hämtar_data noudetaan_tietoja pobieranie_danych trwa_pobieranie_danych
    získávání_dat získavajú_sa_údaje adatok_bekérése beolvasás_folyamatban preluare_date
    получение_данных ожидание_данных загрузка_данных veri_alınıyor veri_bekleniyor dobivanje_podataka
    """
)
_LONGEST: Final = 100
_MAY_BE_ONE: Final = re.compile("[#＃:：]")
_VALUE: Final = re.compile(r"#[¡¿]?\s?(?P<word>[^!?]+?)(?P<mark>[!?]?)")
_TOO_NARROW: Final = re.compile(r"#{2,}")  # a number or date in a column that is too narrow for it
# LibreOffice has numbers from 501 to 540 for what has no name of its own.
_NUMBERED: Final = re.compile(
    r"(?:err|error|fehler|erreur|errore|erro|fout|fel|fejl|feil|virhe|błąd|chyba|hiba|hata|ошибка|помилка)"
    r"\s?:\s?5[0-4]\d",
    re.IGNORECASE,
)


def is_spreadsheet_error(text: str) -> bool:
    """Whether a cell holds the error of a formula (`#N/A`, `#NOM?`, `####`, `Err:502`) and nothing else.

    In: any string. White space around it, and capital or small letters, make no difference.
    """
    if len(text) > _LONGEST or not _MAY_BE_ONE.search(text):
        return False
    text = unicodedata.normalize("NFKC", text).strip()
    if _TOO_NARROW.fullmatch(text) or _NUMBERED.fullmatch(text):
        return True
    found = _VALUE.fullmatch(text)
    if not found:
        return False
    word = _fold(found["word"])
    return word in _WITHOUT_MARK or (bool(found["mark"]) and word in _WITH_MARK)
