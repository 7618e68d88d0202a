/*
 * JSON for the embedded interpreter, which can't load Debian's _json: as much of that module as our packages use,
 * with the same results; json_write.c is the half that writes. Errors are ValueErrors with the attributes `msg` and `pos`
 * of json.JSONDecodeError, the end of the text where a value should begin is StopIteration(position).
 */
#include "embedded.h"

/* The text being read, and what the names in it are looked up in, so that equal ones become one object. */
struct reader {
	PyObject *text, *names, *constant;
	const void *data;
	int kind;
	Py_ssize_t at, size;
};

#define CHARACTER(r, position) PyUnicode_READ((r)->kind, (r)->data, position)
#define IS_SPACE(c) ((c) == ' ' || (c) == '\t' || (c) == '\n' || (c) == '\r')
#define IS_DIGIT(c) ((c) >= '0' && (c) <= '9')

static PyObject *read_value(struct reader *r);

static Py_UCS4 peek(struct reader *r)
{
	return r->at < r->size ? CHARACTER(r, r->at) : 0;
}

static Py_UCS4 skip_space(struct reader *r)
{
	while (r->at < r->size && IS_SPACE(CHARACTER(r, r->at)))
		r->at++;
	return peek(r);
}

static PyObject *fail(const char *message, Py_ssize_t position)
{
	PyObject *error = PyObject_CallFunction(PyExc_ValueError, "s", message);
	PyObject *text = PyUnicode_FromString(message), *place = PyLong_FromSsize_t(position);
	if (error && text && place && !PyObject_SetAttrString(error, "msg", text) &&
	    !PyObject_SetAttrString(error, "pos", place))
		PyErr_SetObject(PyExc_ValueError, error);
	Py_XDECREF(error);
	Py_XDECREF(text);
	Py_XDECREF(place);
	return NULL;
}

static PyObject *stop(Py_ssize_t position)
{
	PyObject *place = PyLong_FromSsize_t(position);
	if (place) {
		PyErr_SetObject(PyExc_StopIteration, place);
		Py_DECREF(place);
	}
	return NULL;
}

/* --- strings ------------------------------------------------------------------------------------------------------ */

/* Four hexadecimal digits at the position, or -1. */
static long hexadecimal(struct reader *r, Py_ssize_t at)
{
	long value = 0;
	if (at + 4 > r->size)
		return -1;
	for (Py_ssize_t i = at; i < at + 4; i++) {
		Py_UCS4 c = CHARACTER(r, i);
		int digit = IS_DIGIT(c) ? (int)c - '0' : c >= 'a' && c <= 'f' ? (int)c - 'a' + 10
							: c >= 'A' && c <= 'F' ? (int)c - 'A' + 10 : -1;
		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

/* What stands behind a backslash; moves past it. Sets an error and gives -1 where nothing like it exists. */
static long escaped(struct reader *r, Py_ssize_t begin)
{
	static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	if (r->at >= r->size)
		return fail("Unterminated string starting at", begin), -1;
	Py_UCS4 c = CHARACTER(r, r->at++);
	const char *letter = c && c < 128 ? strchr(letters, (int)c) : NULL;
	if (letter)
		return meanings[letter - letters];
	if (c != 'u')
		return fail("Invalid \\escape: ", r->at - 2), -1;
	long unit = hexadecimal(r, r->at);
	if (unit < 0)
		return fail("Invalid \\uXXXX escape: ", r->at - 1), -1;
	r->at += 4;
	if (unit >= 0xd800 && unit < 0xdc00 && r->at + 6 <= r->size && CHARACTER(r, r->at) == '\\' &&
	    CHARACTER(r, r->at + 1) == 'u') {
		long low = hexadecimal(r, r->at + 2);
		if (low < 0)
			return fail("Invalid \\uXXXX escape: ", r->at + 1), -1;
		if (low >= 0xdc00 && low < 0xe000) {
			r->at += 6;
			return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
		}
	}
	return unit;
}

/* The string whose first character is at the position; its quotation mark has been read. */
static PyObject *read_string(struct reader *r)
{
	Py_ssize_t begin = r->at - 1;
	_PyUnicodeWriter writer;
	_PyUnicodeWriter_Init(&writer);
	writer.overallocate = 1;
	for (;;) {
		Py_ssize_t from = r->at;
		Py_UCS4 c = 0;
		for (; r->at < r->size; r->at++) {
			c = CHARACTER(r, r->at);
			if (c == '"' || c == '\\' || c < 0x20)
				break;
		}
		if (r->at >= r->size) {
			fail("Unterminated string starting at", begin);
			break;
		}
		if (c == '"' && writer.pos == 0) {
			_PyUnicodeWriter_Dealloc(&writer);
			return PyUnicode_Substring(r->text, from, r->at++);
		}
		if (c < 0x20) {
			fail("Invalid control character at", r->at);
			break;
		}
		if (r->at > from && _PyUnicodeWriter_WriteSubstring(&writer, r->text, from, r->at) < 0)
			break;
		r->at++;
		if (c == '"')
			return _PyUnicodeWriter_Finish(&writer);
		long character = escaped(r, begin);
		if (character < 0 || _PyUnicodeWriter_WriteChar(&writer, (Py_UCS4)character) < 0)
			break;
	}
	_PyUnicodeWriter_Dealloc(&writer);
	return NULL;
}

/* A property's name: equal ones become one object. */
static PyObject *read_name(struct reader *r)
{
	PyObject *name = read_string(r);
	if (!name)
		return NULL;
	PyObject *known = PyDict_SetDefault(r->names, name, name);
	Py_XINCREF(known);
	Py_DECREF(name);
	return known;
}

/* --- numbers and words -------------------------------------------------------------------------------------------- */

static void skip_digits(struct reader *r)
{
	while (IS_DIGIT(peek(r)))
		r->at++;
}

/* A mark of some characters and the digits behind it; without digits it is not part of the number. */
static int skip_part(struct reader *r, Py_ssize_t mark)
{
	if (r->at + mark >= r->size || !IS_DIGIT(CHARACTER(r, r->at + mark)))
		return 0;
	r->at += mark;
	skip_digits(r);
	return 1;
}

static PyObject *read_number(struct reader *r)
{
	Py_ssize_t begin = r->at;
	int whole = 1;
	if (peek(r) == '-')
		r->at++;
	if (!IS_DIGIT(peek(r)))
		return stop(begin);
	if (peek(r) == '0')
		r->at++;
	else
		skip_digits(r);
	if (peek(r) == '.')
		whole &= !skip_part(r, 1);
	if (peek(r) == 'e' || peek(r) == 'E') {
		Py_UCS4 sign = r->at + 1 < r->size ? CHARACTER(r, r->at + 1) : 0;
		whole &= !skip_part(r, sign == '+' || sign == '-' ? 2 : 1);
	}
	PyObject *digits = PyUnicode_Substring(r->text, begin, r->at);
	if (!digits)
		return NULL;
	PyObject *value = whole ? PyLong_FromUnicodeObject(digits, 10) : PyFloat_FromString(digits);
	Py_DECREF(digits);
	return value;
}

static int skip_word(struct reader *r, const char *word)
{
	size_t size = strlen(word);
	if (r->at + (Py_ssize_t)size > r->size)
		return 0;
	for (size_t i = 0; i < size; i++)
		if (CHARACTER(r, r->at + (Py_ssize_t)i) != (Py_UCS4)word[i])
			return 0;
	r->at += (Py_ssize_t)size;
	return 1;
}

static PyObject *read_word(struct reader *r)
{
	static const char *const constants[] = {"NaN", "Infinity", "-Infinity"};
	if (skip_word(r, "null"))
		Py_RETURN_NONE;
	if (skip_word(r, "true"))
		Py_RETURN_TRUE;
	if (skip_word(r, "false"))
		Py_RETURN_FALSE;
	for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
		if (skip_word(r, constants[i]))
			return PyObject_CallFunction(r->constant, "s", constants[i]);
	return read_number(r);
}

/* --- arrays and objects ------------------------------------------------------------------------------------------- */

static PyObject *read_array(struct reader *r)
{
	PyObject *list = PyList_New(0);
	if (!list)
		return NULL;
	if (skip_space(r) == ']') {
		r->at++;
		return list;
	}
	for (;;) {
		PyObject *value = read_value(r);
		if (!value || PyList_Append(list, value) < 0) {
			Py_XDECREF(value);
			break;
		}
		Py_DECREF(value);
		Py_UCS4 c = skip_space(r);
		if (c == ']') {
			r->at++;
			return list;
		}
		if (c != ',') {
			fail("Expecting ',' delimiter", r->at);
			break;
		}
		r->at++;
		skip_space(r);
	}
	Py_DECREF(list);
	return NULL;
}

/* One property, into the object; -1 on errors. */
static int read_property(struct reader *r, PyObject *object)
{
	if (peek(r) != '"') {
		fail("Expecting property name enclosed in double quotes", r->at);
		return -1;
	}
	r->at++;
	PyObject *name = read_name(r), *value = NULL;
	int result = -1;
	if (name && skip_space(r) != ':')
		fail("Expecting ':' delimiter", r->at);
	else if (name) {
		r->at++;
		skip_space(r);
		value = read_value(r);
		result = value ? PyDict_SetItem(object, name, value) : -1;
	}
	Py_XDECREF(name);
	Py_XDECREF(value);
	return result;
}

static PyObject *read_object(struct reader *r)
{
	PyObject *object = PyDict_New();
	if (!object)
		return NULL;
	if (skip_space(r) == '}') {
		r->at++;
		return object;
	}
	while (!read_property(r, object)) {
		Py_UCS4 c = skip_space(r);
		if (c == '}') {
			r->at++;
			return object;
		}
		if (c != ',') {
			fail("Expecting ',' delimiter", r->at);
			break;
		}
		r->at++;
		skip_space(r);
	}
	Py_DECREF(object);
	return NULL;
}

static PyObject *read_value(struct reader *r)
{
	if (r->at >= r->size)
		return stop(r->at);
	Py_UCS4 c = CHARACTER(r, r->at);
	if (c == '"') {
		r->at++;
		return read_string(r);
	}
	if (c != '{' && c != '[')
		return read_word(r);
	if (Py_EnterRecursiveCall(" while decoding a JSON text"))
		return NULL;
	r->at++;
	PyObject *value = c == '{' ? read_object(r) : read_array(r);
	Py_LeaveRecursiveCall();
	return value;
}

/* Takes the text and where to begin from the arguments of Python. */
static int begin(struct reader *r, PyObject *arguments, const char *format)
{
	int strict; /* as we are anyway */
	if (!PyArg_ParseTuple(arguments, format, &r->text, &r->at, &strict))
		return 0;
	r->data = PyUnicode_DATA(r->text);
	r->kind = PyUnicode_KIND(r->text);
	r->size = PyUnicode_GET_LENGTH(r->text);
	return 1;
}

/* scan(text, index) -> (value, index behind it); `self` is what gives the value of NaN and the infinities. */
static PyObject *scan(PyObject *self, PyObject *arguments)
{
	struct reader r = {.constant = self};
	if (!begin(&r, arguments, "Un:scan"))
		return NULL;
	if (r.at < 0)
		return PyErr_SetString(PyExc_ValueError, "idx cannot be negative"), NULL;
	r.names = PyDict_New();
	PyObject *value = r.names ? read_value(&r) : NULL;
	Py_XDECREF(r.names);
	return value ? Py_BuildValue("(Nn)", value, r.at) : NULL;
}

/* scanstring(text, end, strict=True) -> (string, index behind it); `end` is where the quotation mark ended. */
static PyObject *scan_string(PyObject *Py_UNUSED(module), PyObject *arguments)
{
	struct reader r = {0};
	if (!begin(&r, arguments, "Un|p:scanstring"))
		return NULL;
	if (r.at < 0 || r.at > r.size)
		return PyErr_SetString(PyExc_ValueError, "end is out of bounds"), NULL;
	PyObject *value = read_string(&r);
	return value ? Py_BuildValue("(Nn)", value, r.at) : NULL;
}

static PyMethodDef scan_method = {"scan", scan, METH_VARARGS, NULL};

/* make_scanner(context): a strict one that makes dicts, ints and floats, whatever else the context says. */
static PyObject *make_scanner(PyObject *Py_UNUSED(module), PyObject *context)
{
	PyObject *constant = PyObject_GetAttrString(context, "parse_constant");
	return constant ? PyCFunction_New(&scan_method, constant) : NULL;
}

/* --- the module ---------------------------------------------------------------------------------------------------- */

static PyMethodDef methods[] = {
	{"make_scanner", make_scanner, METH_O, "make_scanner(context) -> scan(text, index) -> (value, end)"},
	{"scanstring", scan_string, METH_VARARGS, "scanstring(text, end) -> (string, end)"},
	{"make_encoder", json_make_encoder, METH_VARARGS, "make_encoder(...) -> encode(value, level) -> (text,)"},
	{"encode_basestring", json_encode_basestring, METH_O, "A string as JSON, characters beyond ASCII as they are."},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT, "_utsuwa_json", "As much of _json as our packages use.", -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__utsuwa_json(void)
{
	return PyModule_Create(&definition);
}
