# Filters of jq that are written in jq. They take the place of jaq's where those yield something else.
# Names that begin with `_` are natives that no filter of a user can name. `_fail` is `error` with a message of ours, which
# must not quote values: people see it as it is.

def null: [][0];
def nan: _nan;
def infinite: _infinite;
def isnan: _isnan;
def isinfinite: _isinfinite;
def isnormal: _isnormal;

def abs: if . < 0 then -. else . end;
def have_literal_numbers: true;
def have_decnum: true;
def gamma: lgamma;
def acosh: if type == "number" and . < 1 then nan else _acosh end;
def nearbyint: rint;
def lgamma_r: [lgamma, (if . > 0 or . == floor or isinfinite or (floor | fmod(.; 2)) == 0 then 1 else -1 end)];
def significand: if . == 0 or isinfinite or isnan then . else frexp[0] * 2 end;
def logb: if . == 0 then -infinite elif isinfinite then infinite elif isnan then . else frexp[1] - 1 end;
def tonumber: _tonumber;
def toboolean:
  if . == true or . == false then .
  elif . == "true" then true
  elif . == "false" then false
  else _fail("\(type) cannot be parsed as a boolean") end;

def map_values(f): .[] |= f;
def recurse_down: recurse;
def scalars_or_empty: scalars;
def del(f): delpaths([path(f)]);
def pick(f): . as $in | reduce path(f) as $path (null; setpath($path; $in | getpath($path)));
def leaf_paths: paths(scalars);
def to_entries: [keys_unsorted[] as $key | {key: $key, value: .[$key]}];
def from_entries:
  reduce .[] as $entry ({}; . + ($entry | {
    (.key // .Key // .name // .Name): (if has("value") then .value else .Value end)
  }));
def with_entries(f): to_entries | map(f) | from_entries;
def walk(f): _walk(f);
def reverse:
  if type == "array" then _reverse
  elif type != "boolean" and length == 0 then []
  else _fail("cannot reverse \(type)") end;
def flatten($depth):
  def _flat($left): .[] | if type == "array" and $left != 0 then _flat($left - 1) else . end;
  if $depth < 0 then _fail("flatten depth must not be negative") else [_flat($depth)] end;
def flatten:
  def _flat: .[] | if type == "array" then _flat else . end;
  [_flat];
def join($separator):
  reduce .[] as $item (null;
    (if . == null then "" else . + $separator end)
    + ($item | if type == "boolean" or type == "number" then tostring else . // "" end)
  ) | . // "";
def combinations:
  def _each: if length == 0 then [] else .[0][] as $first | (.[1:] | _each) as $rest | [$first] + $rest end;
  _each;
def combinations(n): . as $in | [range(n) | $in] | combinations;
def toarray: if type == "array" then . else [.] end;
def transpose:
  (map(length) | max) as $width
  | if type == "array" then [range(0; $width // 0) as $i | [.[][$i]]]
  elif $width == 0 then []
  else _fail("cannot transpose \(type)") end;

def range($from; $upto; $by):
  if [$from, $upto, $by] | all(type == "number") | not then _fail("the bounds of a range must be numbers")
  elif $by == 0 then empty
  else _range($from; $upto; $by) end;
def range($from; $upto): range($from; $upto; 1);
def range($upto): range(0; $upto; 1);
def limit($count; f):
  if ($count | type) != "number" then _fail("limit takes a number, not \($count | type)")
  elif $count > 0 then _limit($count; f)
  elif $count == 0 then empty
  else _fail("limit doesn't support a negative count") end;
def skip($count; f):
  if ($count | type) != "number" then _fail("skip takes a number, not \($count | type)")
  elif $count >= 0 then _skip($count | floor; f)
  else _fail("skip doesn't support a negative count") end;
def nth($n; f):
  if ($n | type) != "number" then _fail("nth takes a number, not \($n | type)")
  elif $n < 0 then _fail("nth doesn't support negative indices")
  else first(_skip($n | floor; f)) end;

def index($part): indices($part) | .[0];
def rindex($part): indices($part) | .[-1:][0];
def in(xs): . as $x | xs | has($x);
def inside(xs): . as $x | xs | contains($x);
def ltrimstr($part): _ltrimstr($part);
def rtrimstr($part): _rtrimstr($part);
def trimstr($part):
  if type == "string" and ($part | type) == "string" then _ltrimstr($part) | _rtrimstr($part)
  else _fail("trimstr input and part must be strings") end;

def IN(values): any(values == .; .);
def IN(source; values): any(source == values; .);
def INDEX(rows; key): reduce rows as $row ({}; .[$row | key | tostring] |= $row);
def INDEX(key): INDEX(.[]; key);
def JOIN($index; key): [.[] | [., $index[key]]];
def JOIN($index; rows; key): rows | [., $index[key]];
def JOIN($index; rows; key; f): rows | [., $index[key]] | f;

def tostream:
  def _events($path):
    if (type == "array" or type == "object") and length > 0 then
      keys_unsorted as $keys | ($keys[] as $key | .[$key] | _events($path + [$key])), [$path + [$keys[-1]]]
    else [$path, .] end;
  _events([]);
def fromstream(events):
  foreach events as $event ({done: false, value: null};
    ($event | length == 2) as $is_leaf
    | (if .done then null else .value end) as $value
    | {
        done: ($event[0] | length == (if $is_leaf then 0 else 1 end)),
        value: (if $is_leaf then $value | setpath($event[0]; $event[1]) else $value end)
      };
    if .done then .value else empty end
  );
def truncate_stream(events):
  . as $depth | (null | events) | select((.[0] | length) > $depth) | [.[0][$depth:]] + .[1:];

def _pattern($it):
  if $it | type == "string" then [$it, null]
  elif ($it | type == "array") and ($it | length) > 0 then [$it[0], $it[1]]
  else _fail("\($it | type) is neither text nor an array with a regular expression") end;
def _groups: [.captures[] | select(.name != null) | {(.name): .string}] | add // {};
def match($re; $flags): _match($re; $flags)[];
def match($it): _pattern($it) as [$re, $flags] | match($re; $flags);
def test($re; $flags): _test($re; $flags);
def test($it): _pattern($it) as [$re, $flags] | test($re; $flags);
def capture($re; $flags): match($re; $flags) | _groups;
def capture($it): _pattern($it) as [$re, $flags] | capture($re; $flags);
def scan($re; $flags):
  match($re; "g" + $flags) | if (.captures | length) > 0 then [.captures[].string] else .string end;
def scan($it): _pattern($it) as [$re, $flags] | scan($re; $flags);
def split($re; $flags):
  . as $in
  | reduce (match($re; "g" + $flags) | [.offset, .offset + .length]) as [$from, $upto] ({parts: [], at: 0};
      .parts += [$in[.at:$from]] | .at = $upto)
  | .parts + [$in[.at:]];
def split($separator):
  if (type == "string") and ($separator | type == "string") then . / $separator
  else _fail("split input and separator must be strings") end;
def splits($re; $flags): split($re; $flags)[];
def splits($it): _pattern($it) as [$re, $flags] | splits($re; $flags);
def sub($re; f; $flags):
  . as $in
  | reduce match($re; $flags) as $match ({texts: [], at: 0};
      $in[.at:$match.offset] as $before
      | [$match | _groups | f] as $made
      | reduce range($made | length) as $i (.; .texts[$i] += $before + $made[$i])
      | .at = $match.offset + $match.length)
  | .texts[] + $in[.at:] // $in;
def sub($re; f): sub($re; f; "");
def gsub($re; f; $flags): sub($re; f; $flags + "g");
def gsub($re; f): sub($re; f; "g");

def fromdateiso8601: strptime("%Y-%m-%dT%H:%M:%SZ") | mktime;
def todateiso8601: strftime("%Y-%m-%dT%H:%M:%SZ");
def fromdate: fromdateiso8601;
def todate: todateiso8601;
def date: todate;
def dateadd(unit; $seconds): . + $seconds;
def datesub(unit; $seconds): . - $seconds;

def @csv: _csv;
def @html: _html;
def @tsv: _tsv;
def @sh: _sh;
def @uri: _uri;
def @urid: _urid;
def @base32: _base32;
def @base32d: _base32d;
def @base64: _base64;
def @base64d: _base64d;
def format($name):
  if $name == "text" then tostring
  elif $name == "json" then tojson
  elif $name == "csv" then _csv
  elif $name == "tsv" then _tsv
  elif $name == "html" then _html
  elif $name == "uri" then _uri
  elif $name == "urid" then _urid
  elif $name == "sh" then _sh
  elif $name == "base32" then _base32
  elif $name == "base32d" then _base32d
  elif $name == "base64" then _base64
  elif $name == "base64d" then _base64d
  else _fail("there is no format of that name") end;
