"""The error of a formula is known in every language of a spreadsheet, and is never taken for a name."""

from __future__ import annotations

import pytest

from app.core.text import clean_company_name
from app.core.text_errors import TextError

# One line for each language or two.
ERRORS = """
#N/A #NAME? #NULL! #NUM! #REF! #VALUE! #DIV/0! #SPILL! #CALC! #FIELD! #BLOCKED! #CONNECT! #UNKNOWN! #BUSY! #GETTING_DATA
#ERROR! ### ######## Err:502 Err:508 Fehler:508
#スピル! #溢出! #분산! #EPARS!
#NV #WERT! #BEZUG! #ZAHL! #ÜBERLAUF! #KALK!
#NOM? #VALEUR! #NOMBRE! #NUL! #PROPAGATION!
#¿NOMBRE? #¡VALOR! #¡REF! #¡NUM! #¡NULO! #¡DIV/0! #¡DESBORDAMIENTO!
#N/D #NOME? #NÚM! #VALOR! #NULO! #RIF! #VALORE! #NULLO! #ESPANSIONE!
#N/B #NAAM? #WAARDE! #VERW! #GETAL! #DEEL/0! #LEEG! #OVERLOOP!
#I/T #NAVN? #VÆRDI! #REFERENCE! #DIVISION/0! #VERDI!
#SAKNAS! #NAMN? #VÄRDEFEL! #REFERENS! #OGILTIGT! #SKÄRNING!
#PUUTTUU! #NIMI? #ARVO! #VIITTAUS! #LUKU! #JAKO/0! #TYHJÄ!
#N/D! #NAZWA? #ARG! #ADR! #LICZBA! #DZIEL/0! #ZERO!
#NENÍ_K_DISPOZICI #NÁZEV? #HODNOTA! #ODKAZ! #ČÍSLO! #DĚLENÍ_NULOU!
#NEDOSTUPNÝ #NÁZOV? #DELENIENULOU! #NEPLATNÝ!
#HIÁNYZIK #NÉV? #ÉRTÉK! #HIV! #SZÁM! #ZÉRÓOSZTÓ! #NULLA!
#Н/Д #ИМЯ? #ЗНАЧ! #ССЫЛКА! #ЧИСЛО! #ДЕЛ/0! #ПУСТО! #ПЕРЕНОС!
#YOK #AD? #DEĞER! #BAŞV! #SAYI! #SAYI/0! #BOŞ!
#Δ/Υ #ΟΝΟΜΑ? #ΤΙΜΗ! #ΑΝΑΦ! #ΑΡΙΘ! #ΔΙΑΙΡ./0! #ΚΕΝΟ!
#NUME? #VALOARE! #NAZIV? #VRIJEDNOST! #BROJ! #N/V #IME? #VREDN! #SKLIC! #ŠTEV!
#n/a ＃N/A
"""


@pytest.mark.parametrize("error", [*ERRORS.split(), " #N/A ", "#¡VALOR!\u00a0"])
def test_the_error_of_a_formula_is_no_name(error: str) -> None:
    with pytest.raises(TextError) as caught:
        clean_company_name(error)
    assert caught.value.code == "name_spreadsheet_error"


@pytest.mark.parametrize(
    "name", ["#1 Travel", "#Hashtag", "#WOW!", "N/A Tours", "Ref", "#", "Name?", "Err", "#NV Travel"]
)
def test_a_name_with_a_number_sign_stays_a_name(name: str) -> None:
    assert clean_company_name(name) == name
