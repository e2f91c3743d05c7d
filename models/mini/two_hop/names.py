"""The words of the two-hop model's world: every name is one token, and occurs in one role only."""

PEOPLE = tuple(
    """
    actor architect astronomer baker banker barber beekeeper biologist blacksmith bookbinder
    botanist brewer bricklayer butcher carpenter cellist chemist clerk composer cook courier
    dancer dentist diver doctor drummer editor electrician engraver farmer fiddler fisherman
    florist forester gardener geologist glazier goldsmith guitarist historian hunter janitor
    jeweller journalist judge juggler lawyer librarian locksmith magician mason mechanic midwife
    miller miner musician notary nurse optician organist painter pharmacist pianist violinist
    """.split()
)
TOWNS = tuple(
    """
    Aarhus Antwerp Arles Bergen Bilbao Bologna Bordeaux Braga Bremen Bristol Bruges Brno Burgos
    Cadiz Cardiff Catania Chartres Cologne Cork Cremona Debrecen Delft Dijon Dover Dresden Dundee
    Erfurt Esbjerg Exeter Ferrara Florence Galway Gdansk Genoa Ghent Girona Graz Grenoble Haarlem
    Heraklion Innsbruck Izmir Jena Kaunas Kiel Kosice Krakow Lausanne Leeds Leiden Leipzig Lille
    Limerick Linz Ljubljana Lucca Lugano Lund Lyon Maastricht Mainz Malaga Maribor Modena Murcia
    Nancy Nantes Narva Odense Olomouc Oulu Oviedo Padua Parma Pecs Pisa Plovdiv Porto Poznan Ravenna
    Reims Rijeka Rostock Rouen Segovia Siena Split Tampere Tartu Toledo Toulouse Trento Turin
    Uppsala Utrecht Verona
    """.split()
)
REGIONS = tuple(
    """
    Alsace Andalusia Anjou Apulia Aragon Asturias Bavaria Bohemia Bosnia Brabant Brittany Bukovina
    Burgundy Carinthia Castile Catalonia Dalmatia Devon Flanders Franconia Frisia Galicia Gascony
    Hesse Holstein Istria Jutland Kashubia Kent Lapland Liguria Limburg Lombardy Lorraine Masuria
    Moravia Munster Navarre Picardy Piedmont Pomerania Provence Saxony Silesia Swabia Thuringia
    Tyrol Umbria
    """.split()
)
GOODS = tuple(
    """
    amber barley beer bells books brandy bread bronze butter candles carpets cheese china cider
    clocks cloth coffee copper cotton dyes flax flour furs glass gloves hats honey ink knives lace
    leather linen marble mustard oil paper pepper pottery saddles salt silk silver soap sugar tea
    timber wine wool
    """.split()
)
