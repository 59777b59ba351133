"""Sixty sentences, and the steps that they ask for: intent, and connector where one is used. They were written before the
code that reads them; what that gets wrong of them stays wrong until it is right for other reasons.
"""

READ, DOC, WEB, HTTP, FEED, SQL, GIT, INBOX = (
    ("extract", "file.read"),
    ("extract", "document.read"),
    ("extract", "web.page"),
    ("extract", "http.get"),
    ("extract", "feed.read"),
    ("extract", "sql.query"),
    ("extract", "git.log"),
    ("extract", "mail.fetch"),
)
SAVE, MAIL, POST = ("send", "file.write"), ("send", "mail.send"), ("send", "webhook.post")
PULL, KEEP, SUM, TELL, DRAFT = (
    ("extract", ""),
    ("filter", ""),
    ("aggregate", ""),
    ("summarize", ""),
    ("generate", ""),
)
SHAPE, CHECK, ADD, DECIDE = ("transform", ""), ("validate", ""), ("enrich", ""), ("conditional", "")

SENTENCES = [
    # English
    (
        "en",
        "every morning, summarise yesterday's failed orders and mail them to ops@example.org",
        [KEEP, TELL, MAIL],
    ),
    ("en", "Read invoices.csv, keep the unpaid ones and save them to unpaid.csv", [READ, KEEP, SAVE]),
    ("en", "Fetch https://example.org/news and summarize it in five bullet points", [WEB, TELL]),
    (
        "en",
        (
            "Read the feed https://blog.example.org/feed.xml, pick entries about shipping and post a digest to "
            "https://hooks.example.org/T1"
        ),
        [FEED, KEEP, TELL, POST],
    ),
    (
        "en",
        "Each Monday at 9 count the rows of sales.csv by region and write the result to report.json",
        [READ, SUM, SAVE],
    ),
    (
        "en",
        "Label every ticket in tickets.json as bug, question or praise and save the labels to labels.json",
        [READ, ADD, SAVE],
    ),
    ("en", "Extract the total and the due date from invoice.pdf", [DOC, PULL]),
    ("en", "Translate notes.txt into German and save it as notes.de.txt", [READ, SHAPE, SAVE]),
    (
        "en",
        "Get the open issues from https://api.example.org/issues, drop duplicates and sum the hours per project",
        [HTTP, KEEP, SUM],
    ),
    ("en", "Check that every row of customers.xlsx has an email address", [DOC, CHECK]),
    ("en", "Summarize the commits of the last week and write release notes to NOTES.md", [GIT, TELL, SAVE]),
    (
        "en",
        "If the total of orders.csv is above 1000, mail boss@example.org, otherwise write it to log.txt",
        [READ, SUM, DECIDE, MAIL, SAVE],
    ),
    (
        "en",
        "Fetch my unread mails, draft a reply for each urgent one and send it after I approve",
        [INBOX, KEEP, DRAFT, MAIL],
    ),
    ("en", "Look up the country of each customer in customers.csv in countries.csv", [READ, READ, ADD]),
    ("en", "Write a product description for each product in products.json", [READ, DRAFT]),
    ("en", "Compare prices.csv with yesterday.csv and show what is new", [READ, READ, KEEP]),
    ("en", "Read app.log, find the errors and summarize them with citations", [READ, KEEP, TELL]),
    (
        "en",
        (
            "Query the table orders in sqlite:///shop.db for orders older than 30 days and mail the list to "
            "sales@example.org"
        ),
        [SQL, KEEP, MAIL],
    ),
    ("en", "Convert data.csv to JSON", [READ, SHAPE]),
    ("en", "Sort leads.csv by score and keep the ten best", [READ, SHAPE, KEEP]),
    (
        "en",
        "Validate orders.json against the schema in order.schema.json and report the faults",
        [READ, READ, CHECK],
    ),
    ("en", "Group expenses.csv by month and draw a chart", [READ, SUM, SHAPE]),
    (
        "en",
        "Every hour check https://status.example.org and post to the webhook https://hooks.example.org/a if it is down",
        [WEB, DECIDE, POST],
    ),
    (
        "en",
        "Download https://example.org/prices.html, pull out the table and save it to prices.csv",
        [WEB, PULL, SAVE],
    ),
    ("en", "Tag each article in articles.json with topics", [READ, ADD]),
    ("en", "Deduplicate contacts.csv by email and save it to contacts-clean.csv", [READ, KEEP, SAVE]),
    (
        "en",
        "Draft a polite reminder for every overdue invoice in invoices.csv and save the letters in letters.json",
        [READ, KEEP, DRAFT, SAVE],
    ),
    ("en", "Average the ratings in reviews.csv per product", [READ, SUM]),
    (
        "en",
        "Get the weather from https://api.example.org/weather and send it to me@example.org every day at 7",
        [HTTP, MAIL],
    ),
    ("en", "Summarize the PDF contract.pdf for a lawyer", [DOC, TELL]),
    ("en", "Rate the sentiment of each comment in comments.csv", [READ, ADD]),
    ("en", "Split the addresses in addresses.csv into street, zip and city", [READ, SHAPE]),
    ("en", "Rewrite draft.md in plain English", [READ, SHAPE]),
    ("en", "Remove rows without a price from catalog.csv", [READ, KEEP]),
    (
        "en",
        "Join orders.csv with customers.csv on customer_id and total the amount per country",
        [READ, READ, ADD, SUM],
    ),
    (
        "en",
        "Ask a person whether the offer in offer.txt may go out, then mail it to client@example.org",
        [READ, MAIL],
    ),
    ("en", "Find all phone numbers in letter.txt", [READ, PULL]),
    (
        "en",
        "Make a weekly report from sales.csv with totals per product and save it to report.md",
        [READ, SUM, DRAFT, SAVE],
    ),
    ("en", "Watch the folder inbox and classify each new mail", [READ, ADD]),
    (
        "en",
        "Post the three newest entries of https://example.org/rss to https://hooks.example.org/x",
        [FEED, KEEP, POST],
    ),
    # German
    ("de", "Lies rechnungen.csv, behalte die unbezahlten und speichere sie in offen.csv", [READ, KEEP, SAVE]),
    (
        "de",
        "Jeden Morgen die neuen Bestellungen aus bestellungen.json zusammenfassen und an chef@example.org mailen",
        [READ, KEEP, TELL, MAIL],
    ),
    ("de", "Hole https://example.org/blog und fasse den Text in drei Sätzen zusammen", [WEB, TELL]),
    ("de", "Übersetze brief.txt ins Englische und schreibe das Ergebnis nach letter.txt", [READ, SHAPE, SAVE]),
    ("de", "Zähle die Zeilen von verkauf.csv pro Region", [READ, SUM]),
    ("de", "Prüfe, ob jede Zeile in kunden.xlsx eine Adresse hat", [DOC, CHECK]),
    (
        "de",
        "Ordne jede Mail in mails.json einer Kategorie zu und sende dringende an notdienst@example.org",
        [READ, ADD, KEEP, MAIL],
    ),
    ("de", "Ziehe Betrag und Datum aus rechnung.pdf heraus", [DOC, PULL]),
    # French
    (
        "fr",
        "Lis commandes.csv, garde celles qui sont impayées et enregistre-les dans impayees.csv",
        [READ, KEEP, SAVE],
    ),
    (
        "fr",
        "Chaque lundi, résume https://example.org/actualites et envoie le résumé à equipe@example.org",
        [WEB, TELL, MAIL],
    ),
    ("fr", "Traduis notice.txt en anglais", [READ, SHAPE]),
    ("fr", "Calcule la somme des montants par client dans ventes.csv", [READ, SUM]),
    # Spanish
    (
        "es",
        "Lee pedidos.csv, filtra los pedidos pendientes y guarda el resultado en pendientes.csv",
        [READ, KEEP, SAVE],
    ),
    ("es", "Resume el informe.pdf y envíalo a jefe@example.org", [DOC, TELL, MAIL]),
    ("es", "Clasifica cada comentario de comentarios.json como positivo o negativo", [READ, ADD]),
    ("es", "Cada día a las 8 cuenta las filas de ventas.csv por tienda", [READ, SUM]),
    # Italian, Portuguese, Dutch
    ("it", "Leggi clienti.csv, elimina i duplicati e salva in puliti.csv", [READ, KEEP, SAVE]),
    ("it", "Riassumi verbale.txt e invialo a team@example.org", [READ, TELL, MAIL]),
    ("pt", "Leia vendas.csv, agrupe por região e salve o resultado em resumo.json", [READ, SUM, SAVE]),
    ("nl", "Lees facturen.csv, vat ze samen en mail het naar baas@example.org", [READ, TELL, MAIL]),
]
