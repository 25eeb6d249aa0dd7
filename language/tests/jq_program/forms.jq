# Filters that are run by jq and by eventlift. One filter a line; `$a` and `$b` are further values beside the input.
# "[any]" and the like say which inputs the filters below get. "later:" marks what jq 1.6 does not have, or does
# otherwise than the versions since: jq 1.6 is not asked. "earlier:" marks what was taken out since.

[any]
.
..
[..]
.a
.a?
."a"
."a".b?
.["a"]
.["a"]?
.a.b
.a[0]
.a[]?
.[]
.[]?
.[0]
.[-1]
.[-2]?
.[5]
.[1e3]?
.[1:]
.[:1]
.[-2:]
.[1:3]
.[:-1]
.[-1:1]
.[null:2]
.[1:null]
.[1.2:2.7]
.[-1.5:]
.[:1e10]
.["a","b"]?
.[0,1]?
.[.[0]?|select(type != "number" or floor == .)]?
later: .[.[0]?]?
..|numbers
..|strings
[.[]?]
{a}?
{a:1}
{a:.}
{a:(1,2),b:(3,4)}
{(.a?|tostring):1}
{"x\(1)":.}
{("a","b"):(1,2)}
{"a b"}?
{a:1} + (objects // {})
[.]
[.,1]
[.[]?|.]
"\(.)"
"a\(.)b\(1+2)"
"\(1,2) \(3,4)"
@text
@json
@text "x\(.)"
@json "x\(.)"
@html
@html "<\(.)>"
tostring|gsub("[!'()*]";"")|@uri "?q=\(.)"
later: @uri "?q=\(.)"
@csv
@tsv
@csv "\([.,1])"
try @tsv "\([.,1])" catch "error"
later: @tsv "\([.,1]?)"
@sh
@sh "echo \(.)"
@base64
@base64 "\(.)="
later: @base64d
-.
-(.[]?)
. + 1
. - 1
. * 2
. / 2
. % 2
. * -1
. * 0
. * 0.5
. * 1.5
1 - .
1 / .
. + null
null + .
. + .
. - .
. == .
. < .
. <= .
. != null
. > 0
. and true
. or false
not
[.[]?|not]
length
utf8bytelength
keys
keys_unsorted
values
nulls
booleans
numbers
strings
arrays
objects
iterables
scalars
type
has("a")
has(0)
map(.)
map(.,.)
map(empty)
map(.+1)
map_values(.)
map_values(.+1)
if length > 1 then 0 else map_values(empty) end
later: map_values(empty)
later: map_values(.,1)
later: map_values(select(. != 1))
path(.a)
path(.[0])
path(..)
path(.[]?)
path(.a[0].b)?
path(.a|select(. == 1)?)?
path(.[1:])
path(.a // .b)?
path(first(.[]?))
path(if .a? then .a else .b end)?
path(getpath(["a","b"]))?
[paths]
[paths(type == "number")]
del(.a)
del(.a?)
del(.[0])
del(.[0]?)
del(.[0,1])
del(.[1,0])
del(.[-1])
del(.[]?)
del(.[1:])
del(.[:1],.[0])
del(.a,.b)
del(.a.b)
del(.[5])
del(.[]?|select(. == 1))
del(..|select(. == 1))
del(.)
del(.a[0]?)
del(empty)
delpaths([["a"]])
delpaths([[0],[1]])
delpaths([["a","b"],["a"]])
delpaths([])
delpaths([[]])
delpaths([["a","b","c"]])
to_entries
later: to_entries|from_entries
from_entries
with_entries(.)
with_entries(.value |= tostring)
with_entries(select(.key != "a"))
with_entries(.key |= "x\(.)")
with_entries(empty)
select(.)
select(. == 1)
[.[]?|select(. > 0)]
empty
[empty]
values|error
later: error
later: error(null)
later: try error catch .
later: try error(null) catch .
try error("x") catch .
try error({a:1}) catch .a
values|try error catch [.]
later: try error catch [.]
.a?
(.a)?
try .a catch "no"
[.[]?|try (1/.) catch "e"]
[.[]|(1/.)?]
add
later: add(.[]?)
any
all
any(. > 1)
all(. > 1)
any(.[]?; . == 1)
all(.[]?; . == 1)
any(empty;.)
flatten
flatten(0)
flatten(1)
flatten(-1)
floor
sqrt
ceil
round
fabs
later: abs
later: have_literal_numbers
later: have_decnum | type
pow(.;2)
pow(2;.)
[pow(2,3;1,2)]
log
exp
log2
log10
exp2
exp10
trunc
significand
logb
gamma
lgamma
tgamma
lgamma_r
frexp
modf
ldexp(.;2)
scalb(.;1)
scalbln(.;1)
nearbyint
rint
cbrt
sin
cos
tan
asin
acos
atan
sinh
cosh
tanh
asinh
acosh
atanh
atan2(.;1)
fmin(.;1)
fmax(.;1)
fmod(.;3)
fma(.;2;1)
hypot(.;1)?
copysign(.;-1)
drem(.;3)
nextafter(.;1)
nexttoward(.;1)
expm1
log1p
j0
j1
y0
y1
ldexp(.;1,2)
tostring
tonumber?
later: tonumber
later: toboolean?
tojson
fromjson?
tojson|fromjson
type
infinite
-infinite
nan|isnan
isinfinite
isnan
isnormal
[.,nan]|sort
[nan]|sort
[nan] == [nan]
nan == nan
nan < nan
nan > nan
nan < .
[nan,1,nan]|unique|length
[infinite,-infinite,1]|sort|.[1]
sort
sort_by(.)
sort_by(.a)?
sort_by(.a?,.b?)
sort_by(-.)
group_by(.)
group_by(.a?)
group_by(type)
min
max
min_by(.a?)
max_by(.a?)
min_by(type)
max_by(type)
unique
unique_by(type)
unique_by(length?)
reverse
contains("a")
contains(["a"])
contains({a:1})
contains(1)
inside("abc")
inside([1,2,3])
startswith("a")
endswith("b")
later: ltrimstr("a")
later: rtrimstr("a")
later: trimstr("a")
later: trim
later: ltrim
later: rtrim
combinations
[combinations]
[.,.]|combinations?
[combinations(2)]
[limit(5;combinations(2))]
later: ltrimstr(1)
explode
explode|implode
later: implode?
split("a")
split("")
split(", ")
split("a";null)
later: split("a";"g")
split(1)?
join(",")
join("")
later: join(1)?
join(null)?
ascii_downcase
ascii_upcase
[recurse]
[recurse(.[]?)]
[recurse(.[]?; . != 1)]
[recurse(if type == "number" and . < 3 and . > -100 then .+1 else empty end)]
env|type
[while(type == "number" and . < 100 and . > -1; .*2+1)]
until(type != "number" or . > 100 or . < 0; .*2+1)
[range(5)]
[range(2;4)]
[range(0;10;3)]
[range(0;-5;-2)]
[range(5;0)]
[range(0;1;0.3)]
[range(0;3;0)]
[limit(5; range(.))]?
[limit(3;range(.;1))]
[range(0,1;3,4)]
[range(0;1,2;1,2)]
[limit(3;.[]?)]
later: [limit(0;1,2)]
later: [limit(-1;1,2)]
[limit(1;1,error("x"))]
[limit(1,2;1,2,3)]
[first(range(10))]
[first(empty)]
[first,last]
first
last
nth(1)
nth(-1)
if ([limit(2;.[]?)] | length) == 2 then [nth(1;.[]?)] else 0 end
later: [nth(1;.[]?)]
later: [nth(5;.[]?)]
later: [nth(0,1;1,2,3)]
later: nth(-1;1)
later: [last(.[]?)]
[last(range(3))]
later: [last(empty)]
[isempty(empty)]
later: isempty(error("x"))
isempty(.[]?)
later: [skip(1;.[]?)]
later: [skip(-1;1)]
later: [skip(0;1,2)]
[splits("a")]?
[.[]?|tostring]
if type == "number" and fabs > 1e12 then 0 else todate end
fromdate
now|type
gmtime
mktime
if type == "number" and fabs > 1e12 then 0 else todateiso8601 end
fromdateiso8601
if type == "number" and fabs > 1e12 then 0 else strftime("%Y-%m-%dT%H:%M:%SZ") end
if type == "number" and fabs > 1e12 then 0 else strftime("%A, %B %d, %Y") end
if type == "number" and fabs > 1e12 then 0 else strftime("%j %U %w %e %I %p %y %Z") end
strptime("%Y-%m-%dT%H:%M:%SZ")
strptime("%Y-%m-%d")
gmtime|todate
gmtime|mktime
test("a")
test("A";"i")
test("a.c";"x")
test(["a","i"])
[match("a")]
[match("a";"g")]
[match("(?<x>a)(?<y>z)?";"g")]
[match("")]
later: [match("";"g")]
[match("a|")]
later: [match("a*";"g")]
[match("(a)|(b)";"g")]
[match(["a","g"])]
capture("(?<x>a)(?<y>z)?")
capture("(?<x>.)(?<n>\\d+)?")
later: [capture("(?<x>[a-z])";"g")]
[scan("a")]
later: [scan("A";"i")]
[scan("(a)(z)?")]
[scan("[a-z]+")]
[scan("\\d+")]
[scan("\\w")]
later: [scan("\\b")]?|length|. > 0
if length == 0 then [scan("$")] else 0 end
later: [scan("$")]|length
[scan(".")]
sub("a";"b")
sub("(?<x>a)";"<\(.x)>")
later: sub("(?<x>a)(?<y>z)?";"<\(.x)\(.y)>")
later: [sub("(?<x>a)";"1","2")]
sub("^";">")
sub("$";"<")
sub("";"x")
sub("a";"b";"g")
sub("A";"b";"gi")
gsub("a";"b")
gsub("[aeiou]";"<\(.)>")?|type
gsub("(?<x>[a-z])";"\(.x)\(.x)")
later: gsub("";"-")
later: gsub("^";">")
later: gsub("$";"<")
later: gsub("a*";"x")
later: [gsub("a";"b","c")]
gsub("\\s+";"")
gsub("\\p{L}";"L")
gsub("[^a-z]";"")
ascii_downcase?
later: [splits("a*")]
[splits(", *";null)]
later: [splits("A";"gi")]
.a // "d"
.a? // "d"
(.a,.b)? // 1
empty // 1
(null,1,false,2) // 3
(false,null) // 3
[.[]? // "x"]
first(.[]?) // "none"
error("x") // 1
(1,error("x")) // 2
(null,error("x"),1) // 2
.a and .b
(true,false) and (true,false)
(true,false) or (true,false)
[(true,null) | not]
if . then 1 else 2 end
if .a? then 1 elif .b? then 2 else 3 end
if (true,false) then 1 else 2 end
later: if . then 1 end
later: if empty then 1 else 2 end
[(1,2)+(10,20)]
[(1,2)*(3,4)]
[(1,2)-(10,20)]
[(1,2) < (0,1.5,3)]
[(1,2) == (1,2)]
[[1,2][0,1]]
[[1,2,3][0,1:2,3]]
reduce .[]? as $x (0; . + 1)
reduce .[]? as $x (null; $x)
reduce .[]? as [$x,$y] ([]; . + [$x])
reduce range(3) as $x (0; 1,2)
reduce range(3) as $x (0; . + $x, . + 10)
later: reduce range(3) as $x (0; empty)
later: reduce range(3) as $x (0; if $x == 1 then empty else .+1 end)
reduce range(3) as $x ((0,10); . + $x)
reduce empty as $x (5; 6)
[foreach .[]? as $x (0; . + 1)]
[foreach .[]? as $x (0; . + 1; [$x,.])]
[foreach range(3) as $x (0; .+$x, .+10)]
later: [foreach range(4) as $x (0; if $x == 1 then empty else .+1 end; [$x,.])]
[foreach range(3) as $x ((0,10); .+$x)]
[foreach range(3) as $x (0; .+$x; ., -.)]
[foreach (1,2) as $x (0; .+$x, .*$x; [$x,.], 0)]
[limit(3; foreach range(10) as $x (0; .+$x, .+1))]
. as $x | $x
. as [$x] | $x
. as [$x,[$y]] | [$x,$y]
. as {a:$x} | $x
. as {$a} | $a
. as {$a:[$x]} | [$a,$x]
. as {$a:{$b}} | [$a,$b]
. as {$a:$y, b:$z} | [$a,$y,$z]
[.[]? as {$a:[$x]} | $x]?
[[{"a":[1,{"b":2}]}] | .[] as {$a:[$x,{$b:$y}]} | $a,$x,$b,$y]
[.] | .[] as {$a:[$x]} ?// {$a} | [$a,$x]
reduce ({"a":[1]},{"a":[2]}) as {$a:[$x]} (0; . + $x + ($a|length))
. as {"a":$x} | $x
. as {("a","b"):$x} | $x
.[]? as [$x,$y] | {$x,$y}
later: . as [$x] ?// $x | [$x]
later: . as [$x] ?// {a:$x} ?// $y | [$x,$y]
later: [.[]? as [$x] ?// $x | $x]
later: [[[1]],[2]] | [.[] as [$a] ?// [$b] | if $a != null then error("e") else [$a,$b] end]
later: . as {$a} ?// [$a] | $a
later: . as $x ?// [$x] | if ($x|type) == "array" then error("no") else $x end
later: [[3]] | .[] as [$a] ?// [$b] | if $a != null then error("err: \($a)") else {$a,$b} end
later: reduce .[]? as [$x] ?// $x (0; . + 1)
label $out | 1, break $out, 2
[label $out | foreach .[]? as $x (0; .+1; if . > 1 then ., break $out else . end)]
[label $a | label $b | 1, break $a, 2]
first(label $out | (1, break $out))
[.[]? | label $f | if . == 1 then break $f else . end]
def f: . ; f
def f(g): g | g; f([.])
def f($x; $y): [$x,$y]; f(1,2;3,4)
def f(x; y): [x,y]; f(1,2;3)
def f: def g: 3; g; f
def f($x): $x + 1; f(1)
def fac: if . <= 1 then 1 else . * (. - 1 | fac) end; 5 | fac
def f($a): a; f(3)
def f(g): def g: 5; g; f(1)
[.[]? as $x | $x, 1]
input_line_number|type
$__loc__
{a:$__loc__.line}
"\($__loc__)"
$ENV|type
splits("a")
later: getpath(["a"])
getpath([])
later: getpath(["a","b"])
getpath(["a",0,"b"])?
later: [getpath(["a"],["b"])]?
setpath([];1)
setpath(["a"];1)
setpath(["a","b"];1)
setpath([0];1)
setpath([2];1)
setpath([-1];1)
setpath(["a",0];1)
setpath([[0]];1)?
setpath([{"start":1,"end":2}];[9])
.a = 1
.a.b = 1
.[0] = 1
.[2] = 1
.[-1] = 1
.[-5] = 1
.[1:2] = [7,8,9]
.[:1] = []
.[5:] = [1]
.[0:1] = 5
.[]? = 1
.a = (1,2)
(.a,.b) = 5
(.a,.b) = (5,6)
.a[1] = 1
.a["b"] = 1
.["a","b"] = 1
.[0,1] = 9
.a[1:2] = [1]
. = 1
.a |= 1
.a |= . + 1
.a.b |= 1
.[0] |= 5
.[2] |= 5
.[-1] |= 5
.[0] |= empty
.a |= empty
later: .[]? |= empty
later: (.[]? | select(. == 1)) |= empty
later: .[0,1] |= empty
later: .[]? |= (.,1)
.a |= (.,5)
.[]? |= tostring
.. |= .
later: .. |= (numbers |= . + 1)
.. |= if type == "number" then . + 1 else . end
later: .. |= (if type == "array" then length else . end)
.[1:] |= map(.)
.[1:3] |= reverse
(.a,.b) |= [.]
(.a,.a) |= [.]
(.[]?|numbers) |= .+1
(first(.[]?)) |= 9
(if .a? then .a else .b? end) |= 1
(.a // .b)? |= 1
(.a?) |= 3
(try .a catch .b) |= 3
getpath(["a","b"]) |= 3
getpath(["a","b"]) = 3
.a += 1
.a -= 1
.a *= 2
.a /= 2
.a %= 2
.[]? += 1
.a += (1,2)
.a += .b
(.a,.b) += 1
.[0] += 1
.a //= 1
.[]? //= 0
.a //= (1,2)
.b //= .a
.a.b //= 1
later: .[0:2] += [1]
.[0] += null
.a |= (.b = 1)
.a = .b
.a = (.b,.c)
.a |= (.x // 3)
.[]?.a? |= 1
to_entries?|map(.key)
paths(..)
[paths(arrays)]
later: pick(.a)
later: pick(.a.b)
later: pick(.[1])
later: pick(.[-1])
later: pick(.a,.b)
later: pick(first(.[]?))
later: debug(1)?|type
tostream
[tostream]
fromstream(tostream)
[fromstream(1|truncate_stream([[0],1],[[1,0],2],[[1,0]],[[1]]))]
[1|truncate_stream([[0],1],[[1,0],2],[[1,0]],[[1]])]
later: [.[]?|(1|truncate_stream([[0],1],[[1,0],2],[[1,0]],[[1]]))]
[limit(3; tostream)]
IN(1,2)
IN(.[]?; 1)
[.[]?|IN(1,"a")]
INDEX(.a?)
INDEX(.[]?; tostring)
INDEX(type)
[limit(2;INDEX(.[]?;.a?))]
JOIN({"1":1}; tostring)
[JOIN({"1":1}; .[]?; tostring)]
[JOIN({"1":1}; .[]?; tostring; add)]
ascii_downcase
transpose
in({"a":1})
in([1,2])
walk(.)
walk(if type == "number" then .+1 else . end)
walk(if type == "array" then sort else . end)
walk(if type == "object" then del(.a) else . end)
later: walk(select(. != 1))
later: walk(numbers |= -.)
later: [walk(.,1)]
env.PAGER|type
input
getpath(["a"])?
ltrimstr("x")?|type
bsearch(1)
bsearch("a")
[.[]?]|sort|bsearch(1)
later: getpath(1)?
splits(1)?
get_search_list|type
input_filename
indices(1)
indices("a")
indices([1])
later: indices("")
later: indices([])
index("a")
rindex("a")
index(",")
later: index("")
later: rindex("")
indices("aa")
indices([1,1])
index(1)
.[[1]]
.["a":]?
tojson|gsub("[-+.0-9eE]+";"0")|length
@json "v: \([.,"x"])"
error(.)?
[.[]?|values|error]?
later: [.[]?|error]?
later: try error(.) catch .
(.[]?|.a)?
..|.a?
[..|scalars]
[.[]?|arrays,objects]
error({})?
later: limit(2;.[]?)
[limit(2;repeat(1))]
later: @urid
later: ltrimstr("a")|type
later: have_decnum|not|type
later: getpath(["a","b","c"])?
later: abs?
later: [.[]?|ltrimstr("a")?]
later: trim?
splits("a";"g")?
min_by(.)
max_by(.)
tojson == (tojson|fromjson|tojson)
[.[]?]|length
map(type)
map(length)?
map(tojson)
map(tostring)
map(ascii_downcase)?
map(has("a"))?
map(keys)?
map(add)?
(.a,.b,.c)?
[.a?,.b?]|@csv
[.a?,.b?]|@tsv
[.a?,.b?]|@sh
{a,b}?
{a:.a?,b:(.b? // 0)}
[.[]?|{k:.,v:1}]|from_entries
[.[]?|{name:.,Value:1}]|from_entries
later: [.[]?|{K:.,V:1}]|from_entries
[{name:"a",value:1},{Name:"b",Value:2},{key:"c"},{Key:"d",value:false},{key:null,value:3},{key:false}]|from_entries
[{key:1,value:2},{key:true,value:3}]|from_entries
later: [{k:"a",v:1}]|from_entries
getpath(["x","y"]) as $y | $y
[splits("a")?]
ltrimstr("a")?, rtrimstr("b")?
limit(1; .[]?)
[.[]?|numbers]|add / length
[.[]?|numbers]|sort|.[length/2|floor]
[.[]?|.. ]|length
# comment at the end
. # a comment
.a as $x | .b as $y | [$x,$y]
. as [$a,$b,{c:$c}] | [$a,$b,$c]
[.[]?|[.]|.[0]]
reduce (.[]?|numbers) as $n ([]; [$n] + .)
[limit(3;range(10))] | .[1:] | first
"abc" | .[1:2]
"aéb€c" | [.[1:2], .[-2:], length, utf8bytelength]
later: "aéb€c" | [index("b"), indices("€")]
[1,2,3] | .[1:] = ["x"] | .[0]
[3,1,2]|sort_by(.)|first
"1,2" | split(",") | map(tonumber) | add
[1,null,"a",true,{"b":2},[3]]|sort
{"b":1,"a":{"d":1,"c":2}} | [keys, keys_unsorted, (to_entries|map(.key)), tojson]
{"a":1} * {"a":{"b":2}} * {"a":{"c":3}}
{"a":{"b":1}} * {"a":null}
{"a":[1]} * {"a":[2]}
"x" * 0
"x" * 0.5
"abc" * 1.7
"ab" * 3
"a,b, c" / ","
"a,b" / ", "
"abc" / ""
"" / ""
"" / ","
[1,2,1,3] - [1]
[1,[2]] - [[2]]
10 / 3
1 / 3
7 % 3, -7 % 3, 7 % -3, -7 % -3
5.9 % 2.1
later: 5 % 0.5
later: 1e19 % 7
later: nan % 2
later: (5 % infinite), (5 % -infinite)
0.1 + 0.2
1e3
1.5e-3
100000000000000
3.0, 3.10, 1e2
later: -0
-1
[.1, 1.]
1 as $x | 2 as $y | [$x,$y,$x]
[1,2,3] as [$a] | $a
{} | .a.b.c
{} | .a[0].b
{} | .["a"]?.b
null | .[0], .a, .[1:2]
[[1,2],[3,4]] | transpose
[[1],[2,3]] | transpose
[] | transpose, add, min, max, first, last, any, all, join(","), flatten, sort, unique, length, to_entries, reverse, implode
{} | add, length, keys, to_entries, map_values(1), any, all
"" | length, explode, split(","), ascii_downcase, test(""), tojson, @base64, @uri, @html, @sh
later: "" | [match("";"g")|.offset], [splits("")], ltrimstr(""), trim
"test" | ltrimstr("te"), rtrimstr("st"), ltrimstr("x"), startswith("te"), endswith("x"), ltrimstr("test"), rtrimstr("")
"a\tb\n\\\"" | @sh, @json, @csv "\([.])", @tsv "\([.])", @html, @uri, @base64
"'" | @sh, @csv "\([.])", @tsv "\([.])", @html
later: "'" | @uri
"\u0000\u001f\u007f\u0080é€😀" | @json, length, utf8bytelength, explode, @base64, ascii_downcase
later: "\u0000\u001f\u007f\u0080é€😀" | @uri
"\ud83d\ude00" | explode, length
[65,233,8364,128512] | implode
later: "YWJj", "YWI=", "YWI", "YQ", "", "====", "YW Jj" | try @base64d catch "error"
"a b%20c+d&é/?=" | @uri
later: "a%20b%2Bc%C3%A9", "%", "%zz", "%E9" | try @urid catch "error"
"2015-03-05T23:51:47Z" | fromdate, strptime("%Y-%m-%dT%H:%M:%SZ"), (strptime("%Y-%m-%dT%H:%M:%SZ")|mktime)
"2015-03-05T23:51:47.123Z" | try fromdate catch "error"
"10:20:30" | strptime("%H:%M:%S")?|type
1425599621, 1425599621.678, 0, -1, -1.5, 253402300799 | todate
later: 1425599621.678 | gmtime
1425599621 | gmtime, (gmtime|mktime), (gmtime|todate), strftime("%c"), strftime("%D %T %F %R"), strftime("%s")?
[2015,2,5,23,51,47,4,63] | todate, mktime, strftime("%Y")
later: [2015,2,5,23,51,47.9,4,63] | todate, mktime
[2024,1,30,25,61,61,0,0] | try mktime catch "error"
[2024,13,30,25,61,61,-1,400],[2024,1,30,25,61,61,9,3],[5,0,0,0,0,0,0,0] | strftime("%A %a %w %u %j %U %W %B %b %d %H %I %p %M %S %C %y %G %V %g"), mktime
[2024,1,1,0,0,0],[2024,1.9,1.5,0,0,59.9,0,0],[2024,"1",1,0,0,0,0,0],[1e10,1,1,1,1,1,1,1],null | try mktime catch "error"
1425599621, 0, -1, 951782400, 1e11, -1e11, -62135596801, -62167219200 | strftime("%a %A %b %B %c|%C %d %D %e %F %g|%G %h %H %I %j %k|%l %m %M %n %p %P %r|%R %s %S %t %T %u %U|%V %w %W %x %X %y %Y %z %Z %%")
1425599621, -62167219200 | strftime("%-d %_d %0e %-H %_j %-y %_m %-I"), try strftime("") catch "error"
[range(0;60)|. * 31557600 / 2 - 600000000 | strftime("%G-%V %U %W %j %u %w %g %F")]
[range(-40;40) | . * 9999999999 | gmtime | ., mktime]
67768036191676799, 67768036191676800, -67768040609740800, -67768040609740801, 1e16 | try gmtime catch "error" | .[0]?
"15-3-5 1:2:3", "2015-03-05 23:59:61 x", "2015-03-05 23:59:60  \n", " 2015-  3-5 0:0:0", "2015-02-31 00:00:00", "20155-03-05 00:00:00" | try strptime("%Y-%m-%d %H:%M:%S") catch "error"
["%j %Y","065 2015"],["%a %d %b %Y","Thu 05 Mar 2015"],["%A %d %B %Y","thursday 5 MARCH 2015"],["%y","15"],["%y","69"],["%C %y","19 15"],["%C","19"],["%e"," 5"],["%I %p","11 pm"],["%I %p","12 AM"],["%p %I","PM 3"],["%D","03/05/15"],["%T","23:51:47"],["%R","23:51"],["%r","11:51:47 PM"],["%F","2015-03-05"],["%Z x","UTC x"],["%z","+0100"],["%z","Z"],["%z","-01:30"],["%z","+01"],["%z","+0160"],["%z","01"],["%s","1425599621"],["%s","-1"] | . as [$f,$t] | $t | try strptime($f) catch "error"
["%c","Thu Mar  5 23:53:41 2015"],["%x","03/05/15"],["%X","1:02:03"],["%n%t%%"," %"],["%h","Mar"],["%k"," 3"],["%l","3"],["%-d","1"],["%_d","1"],["%m","2"],["",""],["a b","ab"],["a b","a   b"],["ab","a b"],["%d","1 x"],["%d","1x"],["%Y-%m","2015-12"],["%j","366"],["%d%m","0102"],["%H%M","2359"],["%V %G %g","10 2015 15"],["%u","7"],["%w","7"],["%d","45"],["%b","ma"],["%b","June"],["%Y","99999"] | . as [$f,$t] | $t | try strptime($f) catch "error"
[2024,13,1] | try mktime catch "error"
"Thu, 05 Mar 2015 23:51:47 +0000" | strptime("%a, %d %b %Y %H:%M:%S %z")|mktime
"2015 64" | strptime("%Y %j")|mktime
[1,[2,[3,[4]]]] | flatten, flatten(1), flatten(2), flatten(0)
[[1,2],[3]] | [combinations]
[0,1] | [combinations(2)]
[{"a":1,"b":2},{"a":1,"b":3},{"a":0}] | group_by(.a), unique_by(.a), min_by(.b), max_by(.b), sort_by(.a,.b), sort_by(.b)
[1,1.0,"1",null,[1],{"a":1}] | unique, group_by(.)
["b","a","ab","B","é","","😀","\uffff"] | sort
[{"b":1},{"a":2},{"a":1,"b":0},{}] | sort
[[1,2],[1],[],[0,5]] | sort, min, max
"foo bar foo" | [match("foo";"g")|.offset], [scan("o+")], sub("foo";"x"), gsub("foo";"x"), [splits(" +")], test("BAR";"i"), capture("(?<a>f)(?<b>o+)")
"xyz" | [match("(?<a>x)(?<n>q)?(z)?")]
later: "xyz" | [match("";"g")|.offset]
"aXbxc" | [splits("x";"i")], ascii_upcase, split("x";"i"), gsub("x";"";"i")
"line1\nline2\n" | [scan("^l")], [scan("2$")], test("line1.line2"), test("line1.line2";"s"), test("line1.line2";"p"), test("LINE1.LINE2";"ip"), [scan(".+")]
"éa" | test("É";"i"), test("\\w"), [match("a").offset], [scan("\\p{L}")], test("^\\w+$"), test("[[:alpha:]]{2}"), gsub("\\W";"")
"123 abc ٣" | [scan("\\d+")], [scan("[0-9]+")], [scan("\\s")], [scan("\\S+")]
"foobar" | test("foo(?=bar)"), test("foo(?!bar)"), [match("(?<=foo)bar").offset], [scan("(o)\\1")]
"abc" | [match("(b)(c)(d)?").captures[].string], [match("B").offset]?, [scan("c")], test("\\Aabc\\z"), test("a b c";"x"), [match("a|ab|abc";"l").string]?
later: "aab" | [match("a*?";"gn").string]
"ab12" | [scan("([a-z]+)([0-9]+)")], capture("(?<l>[a-z]+)(?<d>\\d+)"), sub("(?<l>[a-z]+)(?<d>\\d+)";"\(.d)\(.l)"), [scan("(?<n>\\d)")]
"aaa" | sub("a";"b";"g"), [match("aa";"g").offset], gsub("aa";"b"), index("a"), rindex("a")
later: "aaa" | indices("aa"), index("aa"), rindex("aa")
later: "abab" | [sub("(?<x>a)";"\(.x)1","\(.x)2";"g")], gsub("(?<x>b)";.x|ascii_upcase)
later: "x" | test("[") // "none"
[.[]?|strings|test("^[A-Za-z0-9_]+$")]
@json "a\(1+1)b\("x")"
@uri "x=\("a b")&y=\(1)"
@html "\("<&>")<b>"
@sh "echo \("a'b") \([1,"x y"])"
@base64 "\("hi")!"
@csv "\([1,"a,b",null,false]);"
later: @base64d "\("aGk=")!"
[1,2,3] | IN(2), IN([1,2,3]), (.[]|IN(2,3))
[{"id":1,"n":"a"},{"id":2,"n":"b"}] | INDEX(.id), INDEX(.[];.n)
{"a":[1,{"b":2}]} | [tostream], [paths(scalars)], (. as $x|[paths]|map(. as $p|$x|getpath($p))), delpaths([["a",0],["a",1,"b"]])
fromstream(([1,2]|tostream),({"a":1}|tostream))
[limit(3;.[]?)], first(range(5;10)), [range(3)][1:], nth(2;range(10)), until(true;1)
[1,2,3,4] | .[1:3] = ["x"], .[1:3] |= map(.*10), .[-1:] = [], del(.[1:3]), del(.[0],.[2]), del(.[-1,0]), to_entries
{"a":1,"b":2} | with_entries(.value += 1), map_values(.+1), (to_entries|map(.value)), del(.a), has("a"), (keys|map(in({"a":1}))), add, any, length
{"a":[{"b":1},{"b":2}]} | .a[].b, [.a[]|.b], (.a[]|select(.b == 2)), (.a|map(.b)|add), (.a[0].b = 5), (.a |= map(.b)), (.a[].b |= .+1), del(.a[0]), del(.a[].b), [..|numbers], [paths]
[1,2]|map(select(. > 1)), map(if . > 1 then "x" else . end), (.[0],.[1]) , .[1:][0]
[.[]?|tojson|fromjson]
input_line_number

earlier: [leaf_paths]
earlier: recurse_down
format("json"), format("text"), format("base64")
[.[]?|try (.[1:]|type) catch "e"]
try tojson catch "e" | length > 0
try (.[2:1]) catch "e"
try (.[-1:]) catch "e"
try (.[:-1]) catch "e"
try (.[null:1]) catch "e"
try (.[1.2:3.5]) catch "e"
[paths(type == "string")]
[getpath(["a"],["b"])?]
try getpath(["a",0,"b"]) catch "e"
try setpath(["a",0];1) catch "e"
try setpath([0,"a"];1) catch "e"
try setpath([];1) catch "e"
try delpaths([[]]) catch "e"
try del(.[0,2]) catch "e"
try del(.a,.b) catch "e"
try del(.[1:]) catch "e"
try del(..) catch "e"
try to_entries catch "e"
try (to_entries|from_entries) catch "e"
try with_entries(.value|=1) catch "e"
try keys catch "e"
try (tostream|tojson) catch "e"
try ([tostream]|fromstream(.[])) catch "e"
try (map(.)|add) catch "e"
try add catch "e"
try any catch "e"
try all catch "e"
try flatten catch "e"
try flatten(1) catch "e"
try (min,max) catch "e"
try unique catch "e"
try unique_by(type) catch "e"
try group_by(type) catch "e"
try min_by(.a?) catch "e"
try max_by(type) catch "e"
try sort_by(type,.) catch "e"
try sort_by(.[0]?) catch "e"
try join(",") catch "e"
try explode catch "e"
try ltrimstr("a") catch "e"
try splits("a") catch "e"
try split("") catch "e"
try ascii_downcase catch "e"
try test("a") catch "e"
try sub("a";"b") catch "e"
try gsub("(?<x>[a-z])";"<\(.x)>") catch "e"
try capture("(?<x>[a-z])(?<y>[0-9])?") catch "e"
try [match("(a)|b";"g").captures[0].string] catch "e"
try utf8bytelength catch "e"
try tonumber catch "e"
try (tostring|tonumber) catch "e"
try length catch "e"
try contains("a") catch "e"
try inside("abc") catch "e"
try contains([]) catch "e"
try contains({}) catch "e"
try has(1) catch "e"
try startswith("a") catch "e"
try endswith("a") catch "e"
try combinations catch "e"
try walk(if type == "array" then sort else . end) catch "e"
try @text catch "e"
try @json catch "e"
try @csv catch "e"
try @tsv catch "e"
try @sh catch "e"
try @html catch "e"
try @base64d catch "e" | type
try (.a += 1) catch "e"
try (.a -= 1) catch "e"
try (.a *= 2) catch "e"
try (.a /= 2) catch "e"
try (.a //= 2) catch "e"
try (.[0] += 1) catch "e"
try (.[] += 1) catch "e"
try (.[]? |= 1) catch "e"
try (..|=.) catch "e"
try (.. |= (numbers |= .+1)) catch "e"
try (.a[1:] = [1]) catch "e"
try (.[1:] |= map(1)) catch "e"
try (.[-1] = 5) catch "e"
try (.[3] = 5) catch "e"
try (.a.b.c = 5) catch "e"
try (.a,.b = 5) catch "e"
try ((.a,.b) = (1,2)) catch "e"
try (.a = (.b?,1)) catch "e"
try (.["a","b"] = 5) catch "e"
try (first(.[]) = 5) catch "e"
try (last(.[]) |= 5) catch "e"
try (limit(1;.[]) |= 5) catch "e"
try ((.[]|select(. == 1)) |= 5) catch "e"
try (if .a then .a else .b end |= 5) catch "e"
try (recurse(.[]?) |= .) catch "e"
try (getpath(["a","b"]) = 5) catch "e"
try (.a? = 5) catch "e"
try ((.a // .b) |= 5) catch "e"
try (to_entries[0].key = "x") catch "e"
[.[]? as [$x,$y] | $x,$y]?
[.[]? as {a:$x} | $x]?
try (. as {a:{b:$x}} | $x) catch "e"
try (. as {"a":$x,b:[$y]} | [$x,$y]) catch "e"
try (. as {("a","b"):$x} | $x) catch "e"
[foreach .[]? as [$x] (0; 1; $x)]?
reduce .[]? as [$x,$y] (0; . + 1)
label $f | .[]? | if . == 1 then ., break $f else . end
[.[]?|try error("x") catch .]
[.[]?|try error({a:.}) catch .a]
try error([1]) catch .[0]
def f(x): x | x; f(.[]?)
def f($a; $b): [$a,$b]; f(.[]?; 1)
[limit(5; ..)]
[..|numbers]|length
[recurse(.[]?; . != null)]|length
[until(true; .)]
[while(false; .)]
[splits("a, *"; "i")?]
[.[]?|ascii_upcase?]
{a:1} * (objects // {})
[] + (arrays // [])
(arrays // []) - [1]
try (. + .) catch "e"
try (. - .) catch "e"
try (. * .) catch "e"
try (. / .) catch "e"
try (. % 2) catch "e"
try (-.) catch "e"
. == ., . != ., . < ., . <= .
. < 1, . < "a", . < [], . < {}
. and true, . or false, not
[. , 1] | sort
splits("a";"b")?
try @json "x\(.)" catch "e"
try @base64 "\(.)" catch "e"
try ("\(.)"|fromjson) catch "e"
try getpath(1) catch "e"
try paths(1) catch "e"
try path(.a[0]?) catch "e"
[path(..)]
[path(.[]?)]
[path(.a?, .b?)]
try path(.a|select(.)) catch "e"
[path(if .a? then .a else .b? end)]
try [path(first(.a?,.b?))] catch "e"
try [path(.a // .b)] catch "e"
try [path(getpath(["a","b"]))] catch "e"
try [path(.[1:][0]?)] catch "e"
try [path(limit(1;.[]?))] catch "e"
try ltrimstr(1) catch "e"
try index("a") catch "e"
try index(1) catch "e"
try indices(1) catch "e"
try rindex([1]) catch "e"
[.[]?]|index(1), rindex(1)
try inside([1,2,3]) catch "e"
try infinite catch "e" | type
[nan] | sort | length
[nan, 1] | min, max | type
try getpath(["a"]) catch "e"
try (.["a"]) catch "e"
try (."a") catch "e"
try (."a"?) catch "e"
try (.a."b") catch "e"
try (.a["b"]?) catch "e"
try ({a:.}|.a) catch "e"
{(("a","b")):1}
{"a\(1)":1}
{@base64 "x":1}
try {(.):1} catch "e"
[.[]?|{a:.}|select(.a)]
try (.[]?|=empty|type) catch "e"
try splits(1) catch "e"
try test(1) catch "e"
try test("a";1) catch "e"
try test(["a"]) catch "e"
try test([]) catch "e"
try test(["a","i"]) catch "e"
try sub("$";"x") catch "e"
try sub("a";1) catch "e"
try sub("(?<x>a)|b";"\(.x)") catch "e"
try ascii_downcase catch "e"
try tojson catch "e" | type
try significand catch "e"
try logb catch "e"
try frexp catch "e"
try modf catch "e"
try trunc catch "e"
try round catch "e"
try ceil catch "e"
try floor catch "e"
try sqrt catch "e" | type
try pow(.;2) catch "e"
try log catch "e" | type
try exp10 catch "e" | type
try fma(.;2;3) catch "e"
try drem(.;3) catch "e"
try nearbyint catch "e"
try cbrt catch "e"
try ldexp(.;2) catch "e"
try scalb(.;0.5) catch "e" | type
try copysign(.;-1) catch "e"
try getpath(["x"]) catch "e"
tojson|tojson|tojson|fromjson|fromjson|type
try limit(2;.[]) catch "e"
try first catch "e"
try last catch "e"
try nth(0) catch "e"
try nth(1) catch "e"
try (first(.[])) catch "e"
getpath(["a","b"])?
tostring|length > 0
try ([.[]|tostring]|join("/")) catch "e" | type
try tojson catch "e"|ascii_downcase|length > 0
later: try (.[0.5]) catch "e" | if type == "number" then 0 else . end
later: try path(1) catch "e"
later: try sub("a";empty) catch "e"

[text]
fromjson?
try fromjson catch "error"
"[+1,.5,01,1.,-.5e1]", "{\"a\":+2}", "[1 2]", "1-2", "+", "\ufeff1" | try fromjson catch "error"
later: tonumber
later: try tonumber catch "error"
@html
@sh
@base64
later: @uri
later: @urid
later: try @base64d catch "error"
ascii_downcase
ascii_upcase
explode
[.[]?]
.[1:]
.[:-1]
.[1:2]
length
utf8bytelength
later: trim
later: ltrim, rtrim
later: trimstr("a")
later: toboolean
tojson
split(",")
split("")
split("a")
split(", *";null)
[splits("[, ]+")]
later: [match("";"g")|[.offset,.length,.string]]
[match("a";"g")|[.offset,.length,.string]]
[match("(a)?(b)";"g")|[.offset,.captures]]
[match("(?<x>a)?(?<y>[0-9])";"g")]
capture("(?<x>a)?(?<y>.)")
[scan("(a)?(.)")]
later: [scan("[A-Z]";null)]?
sub("(?<x>.)(?<y>z)?$";"\(.x)\(.y|type)")
gsub("(?<x>[a-z])";"<\(.x)>")
gsub("[^[:alnum:]]";"_")
[match("[[:punct:][:space:]]+";"g").string]
[match("[[:upper:]]|[^[:lower:]]";"g").string]
[match("[[:^alpha:]\\d]";"g").string]
test("[[:word:]]"), test("[[:digit:]]"), test("[[:graph:]]"), test("[[:print:]]"), test("[[:blank:]]"), test("[[:cntrl:]]"), test("[[:ascii:]]"), test("[[:xdigit:]]")
later: gsub("\\b";"|")
gsub("\\s";"_")
gsub("(?<d>\\d)";"\(.d|tonumber+1)")
test("^.$")
test("\\d")
test("^\\s*$")
test("a";"x"), test("A";"i"), test("É";"i")
startswith("a"), endswith("1"), ltrimstr("a"), rtrimstr("1")
if utf8bytelength == length then indices("a"), index("a"), rindex("a"), indices(", ") else 0 end
later: indices("a"), index("a"), rindex("a"), indices(", ")
. * 2
. * 0
. / ","
. / ""
. + "x"
. < "b"
try strptime("%Y-%m-%dT%H:%M:%SZ") catch "error"
try fromdate catch "error"
try (strptime("%Y-%m-%d")|mktime) catch "error"
try (strptime("%d/%m/%Y %H:%M")|todate) catch "error"
contains("a"), inside("abc")
has(0)?
@text, @json
[.,"b","B"]|sort
{(.):1}
.[.:]?
later: implode?
join(",")?
@csv "\([.])", @tsv "\([.])"
test("a"; "q")?
later: ltrimstr("a"), rtrimstr("1")

[number]
. + 1, . - 1, . * 2, . / 2, . / 3, -.
if fabs < 9e15 then . % 3, . % -3 else 0 end
later: . % 2.5
later: 7 % .
later: 7.9 % .
floor, ceil, round, fabs, sqrt, trunc, significand, logb, frexp, modf, exp10, cbrt, rint, nearbyint
gamma, lgamma, tgamma, lgamma_r
drem(.;3), ldexp(.;3), scalb(.;2), scalbln(.;2), nearbyint
pow(.;2), pow(.;0.5), pow(2;.), pow(.;-1), log, log2, log10, exp, exp2
sin, cos, atan, tanh, asinh
isnan, isinfinite, isnormal
type, tojson|type
. == 1, . < 1, . >= 0, . == -0
[., 1, "a", null] | sort
[limit(4;range(.))]
[limit(4;range(0;.))]
[limit(4;range(0;10;.))]|length
later: [limit(.;1,2,3)]
later: [skip(.;1,2,3)]
later: [nth(.;10,20,30)]?
[1,2,3][.:]?
[1,2,3][:.]?
later: [1,2,3][.]
later: "abc"[.:]
later: "abc"[:.]
later: ([1,2,3] | .[.[1]] = 9)
later: . as $i | [1,2,3] | .[$i:] = ["x"]
later: . as $i | if $i > 1000 then 0 else try ([1,2,3] | .[$i] = 9) catch "error" end
later: . as $i | [1,2,3] | del(.[$i])
[[1],2] | flatten
later: . as $d | [[[1]]] | try flatten($d) catch "error"
if . > 1000 then 0 else "ab" * . end
later: try implode catch "error"
later: try ([.]|implode) catch "error"
later: try todate catch "error"
later: try gmtime catch "error"
later: try (gmtime|mktime) catch "error"
later: try strftime("%Y-%j %H:%M:%S %a %b") catch "error"
later: . as $n | [1,2,3] | has($n)
later: . as $n | [1,2,3] | index($n), indices($n)
later: . as $n | if $n > 1000 then 0 else try ({} | setpath(["a",$n];1)) catch "error" end
later: . as $n | [1,2,3] | getpath([$n])
later: tostring | tonumber
later: @text == tostring, @json == tojson
later: [.] | @csv, @tsv, @sh
ldexp(1;.)
[0.1,1e-310,1e300,-3,0 | ldexp(.;-60,-1000,-1074,1000,24)]
[0.1,1e-310,5 | scalb(.;-60,-1000,1074,0.5)]
try scalbln(.;3) catch "error"
[.,2] | min, max, add, sort
later: bsearch(1)?
later: [1,2,3] | bsearch(2)
later: splits("a")?
later: tojson | fromjson

[pair]
. + $a
. - $a
if ([., $a] | map(type) | sort) == ["number", "string"] and ([., $a | numbers] | max) > 100 then 0 else . * $a end
. / $a
later: . % $a
. == $a
. != $a
. < $a
. <= $a
. > $a
. >= $a
. and $a
. or $a
. // $a
[., $a] | sort
[., $a] | sort_by(.)
[., $a] | group_by(.)
[., $a] | unique
[., $a] | min, max
[., $a] | add
later: [., $a] | join("-")
[., $a] | flatten
later: [., $a] | tojson
later: [.,$a] | @csv
later: [.,$a] | @tsv
later: [.,$a] | @sh
contains($a)
inside($a)
has($a)
in($a)
if $a == "" then 0 else index($a) end
if $a == "" then 0 else rindex($a) end
if $a == "" then 0 else indices($a) end
later: startswith($a)
endswith($a)
later: ltrimstr($a)
later: rtrimstr($a)
later: trimstr($a)
split($a)
later: join($a)
later: .[$a]
later: .[$a]?
later: .[$a:]?
later: .[:$a]?
later: if ($a | numbers) > 1000 then 0 else try (.[$a] = 1) catch "error" end
later: if ($a | numbers) > 1000 then 0 else try (.[$a] |= 1) catch "error" end
later: try (.[$a:] = [1]) catch "error"
later: if ($a | numbers) > 1000 then 0 else try setpath([$a];1) catch "error" end
later: try setpath($a;1) catch "error"
later: try getpath($a) catch "error"
later: try getpath([$a]) catch "error"
later: try delpaths([[$a]]) catch "error"
later: try delpaths($a) catch "error"
later: try del(.[$a]) catch "error"
{a:.} * {a:$a}
{a:.} + {a:$a}
{(tostring):$a}?
later: [limit(3;range(.;$a))]
later: [limit(3;range(.;$a;1))]
later: [range(0;5;$a)]?|length
IN($a)
IN($a[]?)
[.[]?|IN($a[]?)]
later: bsearch($a)
flatten($a)?
later: test($a)?
later: splits($a)?
combinations?
later: try error($a) catch .
later: . as [$x] ?// $x | [$x,$a]
pow(.;$a)
atan2(.;$a)
fmin(.;$a), fmax(.;$a)
fmod(.;$a)
later: ldexp(.;$a)
later: strftime($a)?
later: strptime($a)?
later: JOIN($a; tostring)?
later: INDEX($a[]?; tostring)
later: [.,$a]|transpose?
later: [.,$a]|implode?
later: getpath(["a",$a])?
later: . as $x | try ($a | has($x)) catch "error"
later: ltrimstr($a)|type
later: .a = $a
later: .a += $a
later: .a //= $a
later: .[0] = $a
later: .[0:1] = $a
later: .[]? |= $a
later: .[]? += $a
later: map(. == $a)
later: to_entries?|map(select(.value == $a))
later: [paths(. == $a)]
later: del(.[]?|select(. == $a))
later: walk(if . == $a then "hit" else . end)
later: try ([limit($a; 1,2,3)]) catch "error"
later: try ([skip($a; 1,2,3)]) catch "error"
later: try ([nth($a; 1,2,3)]) catch "error"
later: try ([first(nth($a; 1,2,3))]) catch "error"
later: try nth($a) catch "error"
