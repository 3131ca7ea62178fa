// Package embed turns texts into vectors without a model: hashed word and character n-grams. Texts
// that share words, or parts of words, get vectors with a small angle between them.
//
// It knows no meaning: "car" and "automobile" are strangers. It is what is there when nobody has
// configured an embedding model (inference.OpenEmbeddings), costs microseconds and needs no download.
// It must never read a clock, a random number or the machine's locale: vectors that were stored by
// one machine are compared with those of another, so they are equal to the bit everywhere.
//
// # Algorithm, "hashed-ngrams-1"
//
//	text ─ NFKC ─ lower case ─→ words: runs of letters, marks and numbers
//	words ─→ features    kind 0  a word                          weight 8
//	                     kind 1  a word, a space, the next word  weight 6
//	                     kind 2  3, 4 or 5 characters in a row   weight 3
//	                             of "<" word ">"; 2, too, if the
//	                             first is Han or kana
//	feature ─→ h         64-bit FNV-1a over the kind's byte and the feature's UTF-8, then the
//	                     finaliser of MurmurHash3; its two lowest bits replaced by the kind
//	h ─→ component       bits 56…63; sign: minus if bit 55 is set
//	component += sign × weight × ⌊256 × √(times that h occurs)⌋
//	vector = components / their Euclidean length, as float32
//
// Signed hashing keeps the inner product of two vectors right on average (Weinberger et al., Feature
// Hashing for Large Scale Multitask Learning, 2009); the root damps a word that is said again and
// again; n-grams inside a word with its ends marked are those of Bojanowski et al., Enriching Word
// Vectors with Subword Information, 2017. Chinese and Japanese write no spaces, and most of their words
// have two characters: pairs of characters stand for their words.
//
// Sums are integers, so their order does not matter. The length is a sum of float64 squares in
// order of the components, each rounded by an explicit conversion: the Go specification allows a
// product and a sum to be fused into one operation with another result, and arm64 does it, unless a
// conversion stands between. Multiplication, division and root of float64 are exact to the last bit
// by IEEE 754.
//
// What a letter is and how it folds is that of the Unicode version of the Go release. Characters
// that a later version adds may then count differently; others do not change.
// A changed algorithm has another name, so that vectors of the two are never compared; the golden
// file holds vectors of this one.
//
// Read Vector, then features.
package embed

import (
	"context"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Dimensions of a vector.
const Dimensions = 256

// Name of the algorithm, to be stored with each vector.
const Name = "hashed-ngrams-1"

// Hashed embeds texts by [Vector]. It is safe for concurrent use.
type Hashed struct{}

// Name is [Name].
func (Hashed) Name() string { return Name }

// Dimensions is [Dimensions].
func (Hashed) Dimensions() int { return Dimensions }

// Embed makes a vector of each text, in order. The only error is ctx's.
func (Hashed) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		vectors[i] = Vector(text)
	}
	return vectors, nil
}

// Vector is the vector of a text, of length 1; nil for a text without a letter or number, which has
// no direction. The time that it takes grows with the text's length: bound texts of strangers.
func Vector(text string) []float32 {
	var sums [Dimensions]int64
	found := features(text)
	slices.Sort(found)
	for i := 0; i < len(found); {
		h, times := found[i], int64(0)
		for ; i < len(found) && found[i] == h; i++ {
			times++
		}
		value := weights[h&kindMask] * damped(times)
		if h>>55&1 == 1 {
			value = -value
		}
		sums[h>>56] += value
	}
	return unit(&sums)
}

// Kinds of features, and the weights by which they count. A word of seven letters has 18 n-grams:
// with these weights they count together somewhat less than the word itself twice.
const (
	kindWord = iota
	kindPair
	kindGram
	kindMask = 3
)

var weights = [4]int64{kindWord: 8, kindPair: 6, kindGram: 3}

// Lengths of the n-grams, in characters. minDense is that of scripts whose characters are dense.
const minGram, minDense, maxGram = 3, 2, 5

// dense says that a character is a word, or half of one, and that no space follows it.
func dense(r rune) bool { return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) }

// damped is 256 times the root, rounded down.
func damped(times int64) int64 { return int64(math.Sqrt(float64(times << 16))) }

// unit divides by the Euclidean length. All zero: nil.
func unit(sums *[Dimensions]int64) []float32 {
	var squares float64
	for _, s := range sums {
		squares += float64(float64(s) * float64(s)) // the conversion keeps it from being fused
	}
	if squares == 0 {
		return nil
	}
	length := math.Sqrt(squares)
	vector := make([]float32, Dimensions)
	for i, s := range sums {
		vector[i] = float32(float64(s) / length)
	}
	return vector
}

// features are the hashes of all that a text is made of, each as often as it occurs.
func features(text string) []uint64 {
	text = norm.NFKC.String(text)
	found := make([]uint64, 0, 4*len(text))
	var marked []byte // "<" word ">"
	previous := ""
	for word := range strings.FieldsFuncSeq(text, between) {
		word = strings.Map(unicode.ToLower, word)
		found = append(found, finish(hash(start(kindWord), word), kindWord))
		if previous != "" {
			found = append(found, finish(hash(hash(hash(start(kindPair), previous), " "), word), kindPair))
		}
		previous = word
		marked = append(append(append(marked[:0], '<'), word...), '>')
		found = grams(found, marked)
	}
	return found
}

// between says that a character is no part of a word.
func between(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsNumber(r)
}

// grams adds the n-grams of a word. A word is valid UTF-8, so every byte that is not 10xxxxxx begins
// a character.
func grams(found []uint64, word []byte) []uint64 {
	for from := range word {
		if word[from]&0xc0 == 0x80 {
			continue
		}
		h, length, least := start(kindGram), 0, minGram
		if r, _ := utf8.DecodeRune(word[from:]); r >= utf8.RuneSelf && dense(r) {
			least = minDense
		}
		for at := from; at < len(word) && length < maxGram; {
			h = step(h, word[at])
			for at++; at < len(word) && word[at]&0xc0 == 0x80; at++ {
				h = step(h, word[at])
			}
			if length++; length >= least {
				found = append(found, finish(h, kindGram))
			}
		}
	}
	return found
}

// FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/
const fnvOffset, fnvPrime = 14695981039346656037, 1099511628211

func start(kind byte) uint64 { return step(fnvOffset, kind) }

func step(h uint64, b byte) uint64 { return (h ^ uint64(b)) * fnvPrime }

func hash(h uint64, text string) uint64 {
	for i := range len(text) {
		h = step(h, text[i])
	}
	return h
}

// finish spreads a hash over all bits (fmix64 of MurmurHash3) and marks its kind. FNV alone hardly
// carries the last characters into the highest bits.
func finish(h uint64, kind uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h&^uint64(kindMask) | kind
}
