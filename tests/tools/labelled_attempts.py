"""Pairs of a question and the attempt that answers it: what was asked for then, what is asked now, the code."""
# ruff: noqa: E501

# prompt of the attempt | a later question in other words | code
TABLE = """
sort numbers with quicksort | order a list ascending by partitioning | def quicksort(a): return a if len(a) < 2 else quicksort([x for x in a[1:] if x < a[0]]) + [a[0]] + quicksort([x for x in a[1:] if x >= a[0]])
binary search in a sorted list | find the position of a value by halving the range | def find(a, x): return bisect.bisect_left(a, x)
reverse a string | spell a word backwards | def backwards(s): return s[::-1]
check for a palindrome | does a word read the same from both ends | def same(s): return s == s[::-1]
factorial of n | product of all integers up to a number | def fact(n): return math.prod(range(1, n + 1))
fibonacci numbers | sequence where each is the sum of the two before | def fib(n): a, b = 0, 1; [(a := b, b := a + b) for _ in range(n)]
primes below n with a sieve | list prime numbers up to a limit | def sieve(n): return [p for p in range(2, n) if all(p % q for q in range(2, p))]
greatest common divisor | largest number that divides both | def gcd(a, b): return a if not b else gcd(b, a % b)
read a csv file into dictionaries | load comma separated rows as records | def rows(path): return list(csv.DictReader(open(path)))
write json to a file | save an object as a JSON document on disk | def dump(value, path): json.dump(value, open(path, "w"))
parse an ISO date | turn text like 2026-05-01 into a date | def day(text): return date.fromisoformat(text)
days between two dates | how many days lie between two calendar dates | def span(a, b): return (b - a).days
validate an e-mail address | is this text a well formed mail address | def valid(s): return re.fullmatch(r"[^@\\s]+@[^@\\s]+", s) is not None
extract all links from html | collect the href of every anchor in a page | def links(page): return [a["href"] for a in BeautifulSoup(page).find_all("a")]
download a file over http | fetch a URL and keep the bytes | def fetch(url): return httpx.get(url).content
retry with exponential backoff | try again with growing pauses after errors | def again(f): [time.sleep(2 ** n) for n in range(5) if not f()]
memoize a function | remember results of earlier calls | cached = functools.lru_cache(maxsize=None)(slow)
flatten nested lists | turn lists of lists into one list | def flat(a): return [x for part in a for x in part]
count words in a text | how often does each word occur | def counts(text): return Counter(text.split())
most common element | which item appears most often | def mode(a): return Counter(a).most_common(1)[0][0]
remove duplicates keeping order | unique items in the order they came | def unique(a): return list(dict.fromkeys(a))
merge two dictionaries | combine mappings, the second wins | def merged(a, b): return a | b
invert a dictionary | swap keys and values | def swapped(d): return {v: k for k, v in d.items()}
transpose a matrix | swap rows and columns of a table | def turned(m): return list(map(list, zip(*m)))
multiply two matrices | matrix product | def times(a, b): return [[sum(x * y for x, y in zip(r, c)) for c in zip(*b)] for r in a]
breadth first search in a graph | visit nodes level by level from a start | def bfs(g, s): seen, queue = {s}, deque([s])
shortest path with dijkstra | cheapest route between nodes with weighted edges | def dijkstra(g, s): heap = [(0, s)]
topological order of tasks | order jobs so that dependencies come first | def order(g): return list(TopologicalSorter(g).static_order())
detect a cycle in a linked list | does following next pointers come back | def loops(head): slow = fast = head
reverse a linked list | turn a chain of nodes around | def turn(head): prev = None
depth of a binary tree | how many levels a tree has | def depth(t): return 0 if t is None else 1 + max(depth(t.left), depth(t.right))
in-order traversal of a tree | left, node, right walk | def walk(t): yield from walk(t.left); yield t.value; yield from walk(t.right)
permutations of a list | all orderings of the items | def orders(a): return list(itertools.permutations(a))
subsets of a set | power set of some items | def subsets(a): return [c for n in range(len(a) + 1) for c in combinations(a, n)]
convert celsius to fahrenheit | temperature from C to F | def f(c): return c * 9 / 5 + 32
roman numerals to integers | value of a number like XIV | def roman(s): values = {"I": 1, "V": 5, "X": 10}
integer to binary text | write a number in base two | def bits(n): return format(n, "b")
hash a password with a salt | store a secret so it cannot be read back | def hashed(p): return hashlib.scrypt(p, salt=os.urandom(16), n=2**14, r=8, p=1)
sign a message with HMAC | prove that a payload was not changed, with a shared key | def sign(k, m): return hmac.new(k, m, "sha256").hexdigest()
base64 encode bytes | turn binary data into ASCII text | def text(b): return base64.b64encode(b).decode()
compress a file with gzip | make a file smaller | def squeeze(path): gzip.open(path + ".gz", "wb").write(open(path, "rb").read())
unzip an archive | extract all members of a zip file | def unpack(path, to): zipfile.ZipFile(path).extractall(to)
list files with an ending recursively | find all .py files below a folder | def below(root): return list(Path(root).rglob("*.py"))
read a file line by line | iterate over the lines of a large text file | def lines(path): yield from open(path)
run a shell command and get its output | start a subprocess and capture stdout | def run(*c): return subprocess.run(c, capture_output=True, text=True).stdout
limit concurrent coroutines | at most n async tasks at the same time | async def limited(n, tasks): semaphore = asyncio.Semaphore(n)
run functions in threads | do blocking work in a pool of threads | def pooled(f, a): return list(ThreadPoolExecutor().map(f, a))
insert rows into sqlite | write many records to a database table | def put(db, rows): db.executemany("INSERT INTO t VALUES (?, ?)", rows)
connect to redis and set a key | store a value in a cache server with a lifetime | def put(r, k, v): r.set(k, v, ex=60)
http server that answers json | small web endpoint returning an object | app.get("/")(lambda: {"ok": True})
parse command line arguments | read options given to a script | parser = argparse.ArgumentParser(); parser.add_argument("--name")
log to a rotating file | keep log files small by starting new ones | handler = RotatingFileHandler("x.log", maxBytes=10**6, backupCount=3)
resize an image | make a picture smaller | def small(path): Image.open(path).resize((100, 100)).save(path)
standard deviation of a list | how far numbers spread around their mean | def spread(a): return statistics.stdev(a)
moving average of a series | smooth values with a sliding window | def smooth(a, n): return [sum(a[i:i + n]) / n for i in range(len(a) - n + 1)]
"""

PAIRS = [tuple(part.strip() for part in line.split(" | ", 2)) for line in TABLE.strip().splitlines()]
