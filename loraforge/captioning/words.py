"""The closed vocabulary behind `sparse`: a few hundred words that tell a subject from its setting and its looks."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words(
    "a an the this that these those his her its their our your my some several many various few each every all another"
    " any very quite really extremely numerous multiple lots countless"
)
ARTICLES = _words("a an the his her their its")
NUMBERS = _words("two three four five six seven eight nine ten")
CONNECTORS = _words(
    "that which who whose is are was were be being been where while as it its they he she them there what"
    " appears seems has have having can seen also or but not"
)

# A container of several things is not the subject; what it holds is.
QUANTITIES = _words(
    "group groups couple pair pairs bunch herd flock pile lot lots number series crowd row rows stack set collection"
    " variety cluster clusters handful dozen dozens swarm pack pieces piece array school bouquet"
    " kind kinds type types sort sorts"
)
# Of these the thing they are of is told as long as anything is: "silhouette of man".
HOLLOW = _words("silhouette silhouettes statue statues portrait portraits bust sculpture head face")
# "A view of the city" is the city; "the side of the road" is the road.
VIEWS = _words(
    "view views scene shot close-up closeup image picture look depiction representation example front back side sides"
    " top middle center centre edge bottom corner foreground background distance rear shadow shade light glow"
    " rays midst version glimpse reflection"
)

ADJECTIVES = _words(
    # looks and age
    "young old elderly little small large big huge tiny tall short long wide narrow giant massive enormous miniature"
    " thin thick fat slim chubby muscular new ancient modern antique vintage retro rustic medieval traditional elegant"
    " fancy cute pretty handsome lovely adorable ugly scary spooky eerie creepy strange weird funny happy sad angry"
    " lone lonely single solitary empty full open closed busy quiet calm serene peaceful tranquil cozy warm cold hot"
    " cool wet dry clean dirty messy bare lush overgrown abandoned"
    " dense deep shallow high low steep flat round square curved tiled"
    " bright dark light dim pale vivid soft hard rough smooth sharp blurry clear foggy misty rainy snowy sunny cloudy"
    " stormy windy starry moonlit sunlit icy frozen sandy rocky grassy leafy mossy dusty muddy rusty smoky shiny"
    " glossy furry fluffy hairy curly straight wavy blond blonde brunette bald bearded barefoot nude naked"
    " close-up closeup left right upper lower inner outer main central various different same other whole half"
    " mature teenage adult male female human middle-aged well-dressed"
    " wild domestic tropical exotic rural urban suburban coastal distant nearby remote winding"
    " futuristic magical mystical mythical fantasy surreal dreamy whimsical majestic grand noble royal regal"
    " simple plain ornate intricate delicate fragile strong powerful brave fierce gentle playful sleepy tired serious"
    " worn torn broken hidden fallen sunken woven forgotten burnt lit"
    " bustling sparkling smiling glowing floating sleeping growling towering winding rolling crashing"
    # quality: said of a picture rather than of what it shows
    " beautiful gorgeous stunning amazing wonderful charming dramatic striking breathtaking picturesque scenic"
    # colours
    " red orange yellow green blue purple pink brown black white grey gray golden gold silver beige teal turquoise"
    " violet crimson scarlet colorful colourful multicolored monochrome neon pastel dark-haired reddish"
    # materials
    " wooden wood stone brick metal glass iron steel bronze marble concrete leather plastic paper straw clay"
    " porcelain cobblestone"
    # origins
    " japanese chinese korean asian african american european french italian english british german russian indian"
    " arabic arab egyptian greek roman mexican spanish dutch viking victorian"
)
# Praise says nothing a picture model could hold on to, not even to make a short caption longer.
PRAISE = _words(
    "beautiful gorgeous stunning amazing wonderful charming dramatic striking breathtaking picturesque scenic lovely"
    " various different same other whole main very pretty cute"
)
# Endings that make an adjective, and the nouns that share them.
ADJECTIVE_ENDINGS = ("ful", "ous", "ive", "able", "ible", "less", "ish", "like", "ic", "-covered", "-capped", "ed")
NOT_ADJECTIVES = _words(
    "table vegetable bus octopus walrus cactus hippopotamus platypus fish dish goldfish jellyfish starfish swordfish"
    " picnic music mosaic traffic fabric attic mechanic olive hive beehive archive cave detective"
    " bed seed reed weed sled shed red feed breed speed centipede steed flowerbed radish"
)

# Words in -ly that are no adverbs.
LY_NOUNS = _words(
    "butterfly butterflies dragonfly firefly fly lily family belly jelly assembly rally italy july holly bully ally"
)

# -ing words that name things.
ING_NOUNS = _words(
    "building buildings ceiling wedding king ring wing wings spring evening morning clothing string swing railing thing"
    " lightning duckling earring pudding clearing awning viking sibling being opening wingspan skiing"
    " parking shopping boxing ferrying dwelling fishing sling herring"
)
ALSO_VERBS = _words("building opening clearing parking boxing ferrying")
# Verbs that only say how someone is placed.
POSTURES = _words(
    "standing stands stand sitting sits sit seated lying lies lie laying lays resting rests posing poses leaning leans"
    " perched located situated placed kneeling crouching hanging hangs floating floats walking walks walk strolling"
    " running runs run flying flies fly swimming swims sleeping sleeps dancing dances smiling smiles waiting rising"
    " rises rise flowing flows flow crash crashes crashing shining shines shine glow glows stretching stretches looms"
    " sailing sails gathered gather growing grows grow blooming blooms falling falls moving moves going goes coming"
    " emerging emerges leading leads sprawling setting sets traveling travelling travels grazing graze meditating"
    " meditates swirling rests dominates parked docked nestled jumping jumps climbing climbs driving-by"
)
# Forms that one thing alone does not take: "a fruit stand" is no fruit that stands.
PLAIN_POSTURES = _words("stand run walk fly flow crash shine glow rise rest grow gather")
# Verbs that only say what someone wears, holds or sees: used when nothing else is known.
INCIDENTAL = {
    "wearing": "wearing", "wears": "wearing", "wear": "wearing",
    "holding": "holding", "holds": "holding", "hold": "holding",
    "carrying": "carrying", "carries": "carrying",
    "looking": "looking", "looks": "looking", "look": "looking",
    "staring": "staring", "stares": "staring", "gazing": "gazing", "gazes": "gazing",
    "showing": "showing", "pointing": "pointing", "facing": "facing", "faces": "facing",
}  # fmt: skip
# Plain present forms of deeds; other words ending in -s are nouns.
DEEDS = {
    "rides": "riding", "eats": "eating", "plays": "playing", "reads": "reading", "drinks": "drinking",
    "drives": "driving", "cooks": "cooking", "feeds": "feeding", "chases": "chasing", "catches": "catching",
    "fights": "fighting", "hugs": "hugging", "kisses": "kissing", "crosses": "crossing", "pulls": "pulling",
    "pushes": "pushing", "throws": "throwing", "writes": "writing", "watches": "watching", "sells": "selling",
    "breathes": "breathing", "carves": "carving", "hunts": "hunting",
}  # fmt: skip

PREPOSITIONS = _words(
    "in on at by near under beside behind over above inside through along down across against among around between"
    " beneath below outside into onto within atop underneath beyond amid amidst amongst before towards toward up past"
    " from to for during off alongside throughout upon next without"
)
# These never lead to a setting: "a letter to a friend", "a medal for bravery".
NOT_PLACING = _words("to for without off from")
# Ways through a place become being at it, since the verb of motion is dropped.
PATHS = _words("through down across into onto up past throughout toward towards")
SLOPES = _words("down up onto across")  # "down a ramp"
ON_PLACES = _words(
    "street streets road roads bridge path trail track tracks railroad highway stage roof beach hill hillside mountain"
    " lake river water sea floor field-path sidewalk runway stairs steps staircase ice boardwalk pier lawn alley-way"
)

BESIDE = _words("by near beside behind among against between")

# Where things are. Only the head noun, singular or plural, is looked up.
PLACES = _words(
    "garden park forest wood woods jungle field meadow pasture farm orchard vineyard desert beach shore coast island"
    " sea ocean lake river stream pond waterfall canal harbor harbour pier bay lagoon swamp water"
    " mountain hill hillside hilltop cliff valley canyon cave landscape countryside plain savanna grassland"
    " grass snow sky space moon planet cloud star sunset sunrise horizon tree"
    " city town village street road alley path trail bridge square plaza market marketplace station track railroad"
    " skyline cityscape seascape building skyscraper house cottage cabin hut castle palace temple church cathedral"
    " monastery shrine mosque tower lighthouse ruin ruins barn windmill factory warehouse school library museum gallery"
    " hospital prison airport shop store cafe restaurant bar pub kitchen bedroom bathroom room hallway corridor office"
    " studio attic basement balcony terrace porch rooftop courtyard doorway staircase tunnel subway"
    " stage theater theatre stadium arena playground pool fountain graveyard cemetery battlefield camp tent"
    " classroom laboratory workshop area interior yard backyard lawn wilderness paris london tokyo venice rome"
)
TIMES = _words(
    "night day dusk dawn noon midnight twilight evening morning sunset sunrise winter summer autumn fall spring rain"
    " fog mist storm wind sunlight moonlight daylight dark darkness sun light"
)
# "In a red dress" is not where she is, and neither is "in her hand".
CLOTHES = _words(
    "dress suit hat shirt jacket coat costume uniform armor armour kimono robe gown skirt jeans pants shorts swimsuit"
    " bikini pajamas tie scarf hoodie sweater outfit clothes clothing attire hood helmet mask boots shoes heels glasses"
    " sunglasses cloak cape tuxedo apron overalls vest blouse veil turban bowtie t-shirt headdress crown"
    " raincoat overcoat bathrobe cap"
)
BODY = _words(
    "hand hands head face hair arm arms mouth lap back shoulder shoulders neck leg legs foot feet eye eyes beak paw"
    " paws tail chest ear ears lip lips finger fingers knee knees"
)
PEOPLE = _words(
    "man woman boy girl child person lady gentleman men women boys girls children people groom bride king queen"
)

# Words that belong together although one of them would be dropped alone.
COMPOUNDS = (
    "hot air balloon", "living room", "dining room", "still life", "polar bear", "hot dog", "high heels", "black hole",
    "orange tree", "gold fish", "black sheep", "grand piano", "town square", "paper boat", "paper plane", "straw hat",
    "stone circle", "ice cream", "swimming pool", "sewing machine", "washing machine", "rocking chair", "sleeping bag",
    "train tracks", "brick house", "glass house", "rolling hills", "parking lot", "sailing ship", "fishing boat",
    "rocking horse",
)  # fmt: skip

# Said by taggers about the picture as a whole, and BLIP's invented "arafed".
NOISE = (
    "no humans", "solo focus", "solo", "scenery", "outdoors", "indoors", "looking at viewer", "simple background",
    "white background", "black background", "arafed", "arafe", "araffe", "in the background", "in the foreground",
    "in the distance", "at the camera", "into the camera", "for the camera", "for a picture", "for a photo", "on it",
    "on them", "in it", "through it", "around it", "behind it", "of it", "on top",
)  # fmt: skip

# Longer phrases that come down to one preposition.
REWRITES = (
    ("in front of", "by"), ("next to", "by"), ("to the side of", "by"), ("on top of", "on"), ("on the top of", "on"),
    ("surrounded by", "among"), ("covered in", "in"), ("covered with", "in"), ("covered by", "in"),
    ("filled with", "with"), ("full of", "with"), ("looking out of", "at"), ("looking out", "at"), ("out of", "from"),
    ("close to", "near"), ("inside of", "inside"), ("outside of", "outside"), ("dressed in", "wearing"),
    ("dressed as", "as"), ("clad in", "wearing"), ("made out of", "of"), ("made of", "of"), ("made from", "of"),
    ("close up of", "view of"), ("overlooking", "above"), ("featuring", "with"), ("containing", "with"),
    ("along with", "with"), ("together with", "with"), ("accompanied by", "with"), ("adorned with", "with"),
    ("decorated with", "with"), ("reflected in", "by"), ("reflected on", "by"), ("reflecting in", "by"),
    ("set against", "against"), ("set in", "in"), ("set for", "for"), ("set with", "with"), ("hanging from", "on"),
    ("at the bottom of", "in"), ("on the bottom of", "in"), ("at the edge of", "by"), ("on the edge of", "by"),
    ("at the foot of", "by"), ("at the base of", "by"), ("at the top of", "on"), ("amidst", "among"),
    ("amongst", "among"), ("amid", "among"), ("atop", "on"), ("upon", "on"), ("underneath", "under"),
    ("alongside", "by"), ("within", "in"),
)  # fmt: skip
