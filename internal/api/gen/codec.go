package main

// kindOf names the helper family (decodeX, putX, queryX, xmlX) of a member's shape.
func (m *model) kindOf(s *shape) string {
	switch s.typ {
	case "structure":
		return "Struct"
	case "list":
		if m.byName[s.element].typ == "structure" {
			return "Structs"
		}
		return "Strs"
	case "map":
		switch v := m.byName[s.value]; {
		case v.typ == "integer":
			return "IntMap"
		case len(v.values) > 0:
			return "EnumMap"
		}
		return "StrMap"
	case "blob":
		return "Blob"
	case "boolean":
		return "Bool"
	case "integer":
		return "Int"
	case "timestamp":
		return "Time"
	}
	return "Str"
}

func (p *program) emitCodec(b *buffer, m *model) {
	for _, s := range m.shapes {
		if !p.emit[s] || s.typ != "structure" {
			continue
		}
		m.emitJSON(b, s)
		if m.protocol == protocolQuery {
			m.emitQuery(b, s)
		}
	}
}

func (m *model) emitJSON(b *buffer, s *shape) {
	b.f("\n// DecodeJSON replaces v with the JSON object in data.\n")
	b.f("func (v *%s) DecodeJSON(data []byte) error {\n*v = %s{}\nreturn decodeJSON(data, v)\n}\n", s.goName, s.goName)
	if len(s.members) == 0 {
		b.f("\nfunc (v *%s) decode(d *decoder) {\nfor d.next() {\nd.skip()\n}\n}\n", s.goName)
	} else {
		b.f("\nfunc (v *%s) decode(d *decoder) {\nfor d.next() {\nswitch string(d.name) {\n", s.goName)
		for _, mem := range s.members {
			b.f("case %q:\ndecode%s(d, &v.%s)\n", mem.name, m.kindOf(m.byName[mem.shape]), upperFirst(mem.name))
		}
		b.f("default:\nd.skip()\n}\n}\n}\n")
	}
	b.f("\n// AppendJSON appends v as a JSON object to dst.\n")
	b.f("func (v *%s) AppendJSON(dst []byte) []byte {\ndst = append(dst, '{')\n", s.goName)
	for _, mem := range s.members {
		b.f("dst = put%s(dst, `\"%s\":`, v.%s)\n", m.kindOf(m.byName[mem.shape]), mem.name, upperFirst(mem.name))
	}
	b.f("return closeObject(dst)\n}\n")
}

func (m *model) emitQuery(b *buffer, s *shape) {
	b.f("\n// DecodeQuery replaces v with the members found in form.\n")
	b.f("func (v *%s) DecodeQuery(form url.Values) error {\n*v = %s{}\nreturn decodeQuery(form, v)\n}\n", s.goName, s.goName)
	b.f("\nfunc (v *%s) decodeQuery(q *queryDecoder, prefix string) {\n", s.goName)
	for _, mem := range s.members {
		if m.byName[mem.shape].typ == "map" {
			continue // stands in answers only
		}
		b.f("query%s(q, prefix+%q, &v.%s)\n", m.kindOf(m.byName[mem.shape]), mem.name, upperFirst(mem.name))
	}
	b.f("}\n\n// AppendXML appends v's members as XML elements to dst.\n")
	b.f("func (v *%s) AppendXML(dst []byte) []byte {\n", s.goName)
	for _, mem := range s.members {
		b.f("dst = xml%s(dst, %q, v.%s)\n", m.kindOf(m.byName[mem.shape]), mem.name, upperFirst(mem.name))
	}
	b.f("return dst\n}\n")
}
