/*
 * The half of json.c that writes: for values that lean packages make, in the one form that they write.
 */
#include "embedded.h"

static int write_text(_PyUnicodeWriter *writer, const char *text)
{
	return _PyUnicodeWriter_WriteASCIIString(writer, text, (Py_ssize_t)strlen(text));
}

static int write_string(_PyUnicodeWriter *writer, PyObject *text)
{
	static const char letters[] = "\"\\\n\r\t\f\b", names[] = "\"\\nrtfb";
	Py_ssize_t size = PyUnicode_GET_LENGTH(text), from = 0;
	int kind = PyUnicode_KIND(text);
	const void *data = PyUnicode_DATA(text);
	if (write_text(writer, "\"") < 0)
		return -1;
	for (Py_ssize_t at = 0; at <= size; at++) {
		Py_UCS4 c = at < size ? PyUnicode_READ(kind, data, at) : 0;
		if (at < size && c >= 0x20 && c != '"' && c != '\\')
			continue;
		if (at > from && _PyUnicodeWriter_WriteSubstring(writer, text, from, at) < 0)
			return -1;
		from = at + 1;
		char escape[8];
		const char *letter = c ? strchr(letters, (int)c) : NULL;
		if (letter)
			PyOS_snprintf(escape, sizeof escape, "\\%c", names[letter - letters]);
		else
			PyOS_snprintf(escape, sizeof escape, "\\u%04x", (unsigned)c);
		if (at < size && write_text(writer, escape) < 0)
			return -1;
	}
	return write_text(writer, "\"");
}

/* A value, with `refuse` to be called for what JSON has no word for. */
static int write_value(_PyUnicodeWriter *writer, PyObject *value, PyObject *refuse)
{
	if (PyUnicode_Check(value))
		return write_string(writer, value);
	if (value == Py_None || value == Py_True || value == Py_False)
		return write_text(writer, value == Py_None ? "null" : value == Py_True ? "true" : "false");
	if (PyLong_Check(value) || PyFloat_Check(value)) {
		if (PyFloat_Check(value) && !Py_IS_FINITE(PyFloat_AS_DOUBLE(value))) {
			PyErr_SetString(PyExc_ValueError, "Out of range float values are not JSON compliant");
			return -1;
		}
		PyObject *text = PyLong_Check(value) ? PyLong_Type.tp_repr(value) : PyFloat_Type.tp_repr(value);
		int result = text ? _PyUnicodeWriter_WriteStr(writer, text) : -1;
		Py_XDECREF(text);
		return result;
	}
	int object = PyDict_Check(value), result = -1;
	if (!object && !PyList_Check(value) && !PyTuple_Check(value)) {
		PyObject *instead = PyObject_CallOneArg(refuse, value);
		result = instead ? write_value(writer, instead, refuse) : -1;
		Py_XDECREF(instead);
		return result;
	}
	if (Py_EnterRecursiveCall(" while encoding a JSON text"))
		return -1;
	PyObject *items = object ? PyDict_Items(value) : PySequence_Fast(value, "a list");
	if (items && !write_text(writer, object ? "{" : "[")) {
		result = 0;
		for (Py_ssize_t i = 0; !result && i < PySequence_Fast_GET_SIZE(items); i++) {
			PyObject *item = PySequence_Fast_GET_ITEM(items, i);
			PyObject *name = object ? PyTuple_GET_ITEM(item, 0) : NULL;
			result = i ? write_text(writer, ",") : 0;
			if (!result && name && !PyUnicode_Check(name)) {
				PyErr_SetString(PyExc_TypeError, "a JSON property must be a string");
				result = -1;
			}
			if (!result && name && !(result = write_string(writer, name)))
				result = write_text(writer, ":");
			if (!result)
				result = write_value(writer, name ? PyTuple_GET_ITEM(item, 1) : item, refuse);
		}
		if (!result)
			result = write_text(writer, object ? "}" : "]");
	}
	Py_LeaveRecursiveCall();
	Py_XDECREF(items);
	return result;
}

static PyObject *written(PyObject *value, PyObject *refuse)
{
	_PyUnicodeWriter writer;
	_PyUnicodeWriter_Init(&writer);
	writer.overallocate = 1;
	if (!write_value(&writer, value, refuse))
		return _PyUnicodeWriter_Finish(&writer);
	_PyUnicodeWriter_Dealloc(&writer);
	return NULL;
}

/* encode(value, level) -> (text,); `self` is what is called for values that JSON has no word for. */
static PyObject *encode(PyObject *self, PyObject *arguments)
{
	PyObject *value;
	Py_ssize_t level;
	if (!PyArg_ParseTuple(arguments, "On:encode", &value, &level))
		return NULL;
	PyObject *text = written(value, self);
	return text ? Py_BuildValue("(N)", text) : NULL;
}

static PyMethodDef encode_method = {"encode", encode, METH_VARARGS, NULL};

/* make_encoder(None, refuse, encode_basestring, None, ":", ",", False, False, False): only this one. */
PyObject *json_make_encoder(PyObject *Py_UNUSED(module), PyObject *arguments)
{
	PyObject *markers, *refuse, *strings, *indent;
	const char *colon, *comma;
	int sort, skip, infinite;
	if (!PyArg_ParseTuple(arguments, "OOOOssppp:make_encoder", &markers, &refuse, &strings, &indent, &colon, &comma,
			      &sort, &skip, &infinite))
		return NULL;
	if (indent != Py_None || strcmp(colon, ":") || strcmp(comma, ",") || sort || skip || infinite)
		return PyErr_SetString(PyExc_NotImplementedError, "_utsuwa_json writes in one way only"), NULL;
	return PyCFunction_New(&encode_method, refuse);
}

PyObject *json_encode_basestring(PyObject *Py_UNUSED(module), PyObject *text)
{
	if (!PyUnicode_Check(text))
		return PyErr_Format(PyExc_TypeError, "first argument must be a string, not %.80s", Py_TYPE(text)->tp_name);
	return written(text, NULL);
}
