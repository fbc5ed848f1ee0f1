// Writes JSON schemas for kubeconform, one file for each kind, in which a field that nobody knows is an error.
//
//	schemas OUT swagger.json crd.yaml…
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

type object = map[string]any

const reference = "#/definitions/"

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: schemas OUT swagger.json crd.yaml…"))
	}
	out := os.Args[1]
	fail(os.MkdirAll(out, 0o755))
	native(out, os.Args[2])
	for _, file := range os.Args[3:] {
		custom(out, file)
	}
}

func native(out, file string) {
	text, err := os.ReadFile(file)
	fail(err)
	var swagger struct{ Definitions map[string]object }
	fail(json.Unmarshal(text, &swagger))
	for name, definition := range swagger.Definitions {
		switch {
		case strings.HasSuffix(name, ".IntOrString"):
			swagger.Definitions[name] = object{"type": []string{"string", "integer"}}
		case strings.HasSuffix(name, ".Quantity"):
			swagger.Definitions[name] = object{"type": []string{"string", "number"}}
		default:
			closed(definition)
		}
	}
	for name, definition := range swagger.Definitions {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		for _, entry := range kinds {
			kind := entry.(object)
			used := map[string]object{}
			collect(swagger.Definitions, name, used)
			schema := object{"$ref": reference + name, "definitions": used}
			write(out, kind["kind"].(string), kind["group"].(string), kind["version"].(string), schema)
		}
	}
}

func custom(out, file string) {
	text, err := os.ReadFile(file)
	fail(err)
	var crd struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema object }
			}
		}
	}
	fail(yaml.Unmarshal(text, &crd))
	for _, version := range crd.Spec.Versions {
		schema := version.Schema.OpenAPIV3Schema
		properties := schema["properties"].(object)
		for name, kind := range map[string]string{"apiVersion": "string", "kind": "string", "metadata": "object"} {
			properties[name] = object{"type": kind}
		}
		deeply(schema)
		write(out, crd.Spec.Names.Kind, crd.Spec.Group, version.Name, schema)
	}
}

// closed lets an object have no other fields than those described.
func closed(schema object) {
	_, described := schema["properties"]
	_, open := schema["additionalProperties"]
	if described && !open && schema["x-kubernetes-preserve-unknown-fields"] != true {
		schema["additionalProperties"] = false
	}
}

func deeply(schema any) {
	switch value := schema.(type) {
	case object:
		closed(value)
		for _, inner := range value {
			deeply(inner)
		}
	case []any:
		for _, inner := range value {
			deeply(inner)
		}
	}
}

// collect adds the definition and all that it refers to.
func collect(all map[string]object, name string, used map[string]object) {
	if _, known := used[name]; known {
		return
	}
	used[name] = all[name]
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case object:
			if target, is := value["$ref"].(string); is {
				collect(all, strings.TrimPrefix(target, reference), used)
			}
			for _, inner := range value {
				walk(inner)
			}
		case []any:
			for _, inner := range value {
				walk(inner)
			}
		}
	}
	walk(all[name])
}

// write names the file as kubeconform looks for it: kind, the first word of the group, version.
func write(out, kind, group, version string, schema object) {
	name := kind
	if group != "" {
		name += "-" + strings.Split(group, ".")[0]
	}
	text, err := json.Marshal(schema)
	fail(err)
	fail(os.WriteFile(filepath.Join(out, strings.ToLower(name)+"-"+version+".json"), text, 0o644))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
