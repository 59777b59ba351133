"""The words by which a sentence says what it wants, in seven languages.

Words are written in lower case without accents; a word of a sentence fits where it is the word, or begins with it
where that ends in `*`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from unicodedata import combining, normalize

LETTERS = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|\uE000\d+\uE001")  # noqa: RUF001  # an apostrophe that people type
"""A word of a sentence, or what stands for a thing that it names."""


def plain(text: str) -> str:
    """In lower case, without accents."""
    lower = text.lower().replace("ß", "ss")
    return "".join(letter for letter in normalize("NFD", lower) if not combining(letter))


class Words:
    """A set of words and beginnings of words."""

    def __init__(self, text: str) -> None:
        written = text.split()
        self._whole = frozenset(word for word in written if not word.endswith("*"))
        self._begins = tuple(word[:-1] for word in written if word.endswith("*"))

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and (word in self._whole or word.startswith(self._begins))

    def any_of(self, words: Iterable[str]) -> bool:
        """True if one of *words* is among these."""
        return any(word in self for word in words)


ACTIONS: Mapping[str, Words] = {
    "summarize": Words(
        "summar* digest* condense* recap outline zusammenfass* zusammenfasse fass fasse resum* resume resumer "
        "condens* resumir riassum* sintetizz* resuma samenvat* vat shorten* abridge* boil kurze* verkurz* "
        "raccourci* accorci* encurt* inkort* overview paragraph"
    ),
    "translate": Words(
        "translat* rewrit* rephras* paraphras* convert* reformat* transform* sort* order split* rename* "
        "reshape* draw plot chart* normaliz* normalis* flatten* ubersetz* umwandel* wandle wandel sortier* "
        "teile umschreib* zeichne formatier* tradui* tradu* convertis* trie trier decoupe* traduc* traduz* "
        "convierte ordena* divide* ordina* converti converte vertaal* sorteer* splits* turn turns clean "
        "cleans cleanse* fix correct simplif* polish* prettif* saubere* bereinig* korrigier* vereinfach* "
        "nettoi* corrig* simplifi* limpia* limpe* pulisci* corregg* simplific* corrij* schoon* corrigeer* "
        "proofread* edit"
    ),
    "classify": Words(
        "label* classif* categori* tag tags tagged tagging rate score annotat* enrich* lookup match assign "
        "route triage kategorisier* klassifizier* ordne ordnen zuordnen beschrifte* bewerte* ergänz* erganz* "
        "etiquet* classe catalog* clasific* etiquetar* classific* etichett* categorise* verrijk* join joins "
        "verbinde* verknupf* fusionne* joindre une* cruza* unisci* koppel* flag flags mark detect* judge "
        "assess* grade estimate* markier* erkenn* bewert* detecte* marque* evalue* detecta* marca* evalua* "
        "rileva* segna* valuta* avali* markeer* herken* beoordeel* highlight*"
    ),
    "filter": Words(
        "filter* keep keeps retain remove* drop drops exclude* discard dedup* select pick choose find ignore "
        "skip only compare* diff behalt* filtere entfern* losch* wahle auswahl* finde vergleich* dopplung* "
        "garde* filtre* supprime* retire* elimine* selectionne* compare trouve* filtra* conserva* elimina* "
        "quita* selecciona* busca* tieni mantieni rimuov* scegli* mantenha remova* filtre behoud* verwijder* "
        "vind zoek kies search* such* cherch* cerca* procure* narrow limit reduce compara* throw screen"
    ),
    "aggregate": Words(
        "count* sum sums total totals average* mean median group* aggregat* tally zahl* summier* gruppier* "
        "addier* durchschnitt* compte* calcul* somme* totalise* regroupe* moyenne* cuenta* suma* agrup* "
        "promedi* total* conta* somma* raggrupp* media agrupe* some conte tel telt groepeer* gemiddel* "
        "comput* calculat* combine berechn* ermittle calcola* bereken* calcule* break rank"
    ),
    "validate": Words(
        "validat* verif* check* ensure* assert* test prufe* pruf* kontrollier* sicherstell* verifie* "
        "controle* valide* comprueb* valida* controlla* verifica* verifique* controleer* valideer*"
    ),
    "pull": Words(
        "extract* pull parse ziehe* ziehen extrahier* herauszieh* herauslies* extrais* extrait* extrae* "
        "extrai* estra* haal trek identif* gather"
    ),
    "generate": Words(
        "draft* generate* compose* create* produce* make build entwirf* entwerf* verfass* erstell* erzeug* "
        "formulier* redig* cree* genere* compose redact* crea* genera* elabor* scriv* gere* elabore* opstel* "
        "maak stel answer answers reply respond* antwort* beantwort* repond* rispond* responda*"
    ),
    "save": Words(
        "save* store stores export* speicher* sichere ablege* exportier* enregistr* sauvegard* exporte* "
        "guarda* guarde* almacena* salva* salve* esporta* bewaar* opslaan sla put puts place lege leg metti "
        "mets pon coloque zet saved stored append*"
    ),
    "send": Words(
        "send* mail mails email* e-mail post posts notify* forward* tell push alert message inform* sende* "
        "sende schick* maile mailen benachrichtig* verschick* meld* poste envoi* envoy* notifi* previens "
        "transmet* envia* envi* manda* avisa* publica* notifica* invia* spedi* manda avvis* envie* avise* "
        "stuur* verstuur* verzend* ping pings mailed emailed sent posted forwarded sending posting mailing "
        "emailing forwarding publishing"
    ),
    "read": Words(
        "read* fetch* get gets load* download* open query import* retrieve* collect* scrape* watch monitor* "
        "take grab lies lese* lade* hole* hol offne* abruf* frage beobacht* importier* lis lire charge* "
        "recuper* telecharg* ouvre* surveill* interroge* lee lea leer obten* descarg* carga* consulta* "
        "vigila* leggi* scarica* carica* ottieni recupera* leia baixe* obtenha* carregue* lees haal laad "
        "ophalen bekijk go look browse visit besuche regarde mira scan scans load"
    ),
    "write": Words("write* record schreib* note* ecri* redige escrib* scrivi* escreva* schrijf*"),
    "ask": Words(
        "ask approve* approval approbation confirm* consent frag frage genehmig* bestatig* freigab* demande* "
        "approuv* pregunta* aprueb* aprob* confirma* chiedi approv* pergunte aprove* vraag goedkeur*"
    ),
    "show": Words(
        "show* report* list lists print display zeig* liste* montre* affiche* muestr* lista* mostra* toon*"
    ),
}
"""What a clause wants done, by its verb. An earlier one wins where a word is in several."""
INTENTS: Mapping[str, str] = {
    "summarize": "summarize",
    "translate": "transform",
    "classify": "enrich",
    "filter": "filter",
    "aggregate": "aggregate",
    "validate": "validate",
    "pull": "extract",
    "generate": "generate",
}
"""The intent that does it; the others are done by connectors, or need no step."""

DROPS = Words(
    "remove* drop drops exclude* discard ignore skip throw delete* entfern* losch* supprime* retire* elimin* "
    "quita* rimuov* remova* verwijder*"
)
"""Verbs of `filter` that say what goes, not what stays."""

AND = Words("and then und dann anschliessend danach et puis ensuite y luego despues e poi quindi depois en daarna")
"""Between two clauses."""
IF = Words("if when whenever falls wenn sobald si quand lorsque cuando se quando wanneer")
ELSE = Words(
    "otherwise else ansonsten sonst andernfalls sinon autrement otra sino contrario altrimenti senao anders"
)
UNTIL = Words("whether ob that dass que si se che of dat until bis")
STATES = Words(
    "failed failing unpaid overdue urgent late missing expired pending cancelled canceled broken "
    "incomplete invalid new newest latest open closed active inactive unread unanswered negative positive "
    "critical severe fehlgeschlagen* unbezahlt* uberfallig* dringend* neue* neuen neuest* offene* offenen "
    "abgelaufen* ausstehend* kritisch* echoue* impaye* urgent* nouvel* nouveau* ouvert* expire* retard "
    "pendient* fallid* urgente* nuev* abiert* vencid* pagad* impagad* scadut* nuov* apert* fallit* "
    "pendente* atrasad* novo* nova* onbetaald* nieuw* mislukt* verlopen*"
)
"""Adjectives that take some of what is there: a filter before what is done with it."""
COMPARING = Words(
    "above below over under more less greater smaller older younger newer than without containing about "
    "mentioning where uber unter mehr weniger alter junger ohne enthalt plus moins superieur* inferieur* "
    "sans contenant mas menos mayor* menor* sin superior* inferior* senza maggior* minor* sem maior* meer "
    "minder zonder ouder"
)
"""Words of a condition on records."""
PER = Words("per by je pro nach par por")
EACH = Words("each every jede* alle chaque tous toutes cada todos todas ogni tutti todo elk* iedere*")
CHARTS = Words("chart* plot graph* diagramm* graphique* grafic* grafiek*")
BEST = Words(
    "best top newest latest first beste* ersten neuesten meilleurs premiers mejores primeros migliori primi"
)
MAILS = Words("mail mails email* inbox mailbox posteingang courriel* correo* posta e-mail* nachrichten")
COMMITS = Words("commit commits commiten repository")
TABLES = Words("table tabelle tabla tabella tabela tabel")
LOG_WORDS = Words("error* fehler* erreur* errores errori erros fouten")


FIGURES = Words("total totals average mean median media moyenne durchschnitt gemiddelde summe promedio")
"""Words for what is to be done that, alone between two "and", are what is asked for."""
MODELS = Words("model modell* modele modelo modello llm ki ai ia")
BEFORE = Words("to before")
"""Before a verb: what it says is done after what was asked."""
FORMS = Words(
    "a an the new file table report text markdown csv json excel eine einer einem neue datei tabelle un une le la "
    "fichier tableau rapport una el archivo tabla informe file tabella rapporto um uma arquivo tabela een bestand "
    "tabel"
)
"""Between "to" and the file that something is written to."""


class Verb(NamedTuple):
    """A word that says what is to be done."""

    action: str
    at: int
    """Which word of its clause it is."""


SEPARABLE = {("fass", "zusammen"): "summarize", ("fasse", "zusammen"): "summarize", ("vat", "samen"): "summarize"}
"""Verbs in two parts; without their second part they mean something else."""
TWO_WORDS = {
    ("look", "up"): "classify",
    ("fill", "in"): "classify",
    ("pull", "out"): "pull",
    ("work", "out"): "pull",
    ("figure", "out"): "pull",
    ("write", "to"): "save",
    ("how", "many"): "aggregate",
    ("how", "much"): "aggregate",
    ("wie", "viele"): "aggregate",
    ("make", "sure"): "validate",
    ("see", "whether"): "validate",
}
NOUNS_AFTER = Words(
    "the a an my our new unread each every all this that der die das den le la les el los il lo i o os as"
)
"""Before a noun: a word behind one of these is no verb."""


def verbs_of(words: list[str]) -> list[Verb]:
    """What the words of a clause want done, in their order."""
    found: list[Verb] = []
    for at, word in enumerate(words):
        after = words[at + 1] if at + 1 < len(words) else ""
        before = words[at - 1] if at else ""
        if (action := TWO_WORDS.get((word, after))) is not None or (
            before not in NOUNS_AFTER and (action := action_of(word, words)) is not None
        ):
            found.append(Verb(action, at))
    return found


def action_of(word: str, words: list[str]) -> str | None:
    """What a word wants done, if it is such a word."""
    for (first, second), action in SEPARABLE.items():
        if word == first:
            return action if second in words else None
    base = re.sub(r"-(?:les|le|la|los|lo|las|l)$", "", word)
    return next((action for action, known in ACTIONS.items() if base in known), None)
