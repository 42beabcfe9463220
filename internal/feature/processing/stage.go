// SPDX-License-Identifier: Apache-2.0

package processing

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// A working folder is <Dir>/<identity>:
//
//	tasks.json           see taskgroup.Folders
//	<host>/ml/           what the container of a host sees as /opt/ml
//	<host>/inputs/<n>/   links to the objects of an input of which each host has its part
//	inputs/<n>/          links to those of an input that all hosts see
//	staged.json          written last: the mounts; from then on the folder is complete
const (
	mlName     = "ml"
	inputsName = "inputs"
	stagedName = "staged.json"
)

// staging is what staged.json says.
type staging struct {
	Mounts map[string][]runtime.Mount // by host
	Needs  runtime.Needs
}

// ml is the folder that a host's container sees as /opt/ml.
func (s *Service) ml(id, host string) string { return filepath.Join(s.folders.Path(id), host, mlName) }

// inside is the host's path of what lies at a path of the container.
func (s *Service) inside(id, host, at string) string {
	return filepath.Join(s.ml(id, host), filepath.FromSlash(strings.TrimPrefix(path.Clean(at), optml.Root+"/")))
}

// stage makes the job's working folder.
func (s *Service) stage(ctx context.Context, j Job) error {
	id := identity(j)
	if err := s.folders.Begin(ctx, id, members(j)); err != nil {
		return err
	}
	st := staging{Mounts: map[string][]runtime.Mount{}, Needs: needs()}
	for _, host := range hosts(j) {
		if err := s.makeHost(j, host); err != nil {
			return err
		}
		st.Mounts[host] = []runtime.Mount{{Source: s.ml(id, host), Target: optml.Root}}
	}
	for i, p := range j.Doc.ProcessingInputs {
		if isTrue(p.AppManaged) || p.S3Input == nil {
			continue
		}
		if err := s.stageInput(ctx, j, i, p, st.Mounts); err != nil {
			return fmt.Errorf("input %q: %w", p.InputName, err)
		}
	}
	image, err := s.Images.Image(ctx, j.Doc.AppSpecification.ImageUri, st.Needs)
	if err != nil {
		return fmt.Errorf("find image: %w", err)
	}
	if image.Script {
		if st.Needs.Requirements, err = requirements(s.inside(id, hosts(j)[0], codePath)); err != nil {
			return err
		}
	}
	log := taskgroup.Progress(ctx, s.Logs, streamOf(j, hosts(j)[0]))
	defer log.Close()
	image, err = s.Images.Prepare(ctx, j.Doc.AppSpecification.ImageUri, st.Needs, log)
	if err != nil {
		return fmt.Errorf("prepare image: %w", err)
	}
	for _, host := range hosts(j) {
		r := optml.Resources{Host: host, Hosts: hosts(j), InstanceType: cluster(j).InstanceType, NetworkInterface: image.NetworkInterface()}
		if err := taskgroup.WriteJSON(filepath.Join(s.ml(id, host), "config"), "resourceconfig.json", r); err != nil {
			return err
		}
		if image.Unprivileged() {
			if err := optml.Open(s.ml(id, host)); err != nil {
				return err
			}
		}
	}
	return taskgroup.WriteJSON(s.folders.Path(id), stagedName, st)
}

// makeHost makes a host's folders and writes what it is told.
func (s *Service) makeHost(j Job, host string) error {
	id := identity(j)
	dirs := []string{"config", "processing/input", "processing/output", "output"}
	for i := range dirs {
		dirs[i] = filepath.Join(s.ml(id, host), dirs[i])
	}
	for _, o := range outputs(&j) {
		if o.S3Output != nil && !isTrue(o.AppManaged) {
			dirs = append(dirs, s.inside(id, host, o.S3Output.LocalPath))
		}
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make /opt/ml: %w", err)
		}
	}
	config := filepath.Join(s.ml(id, host), "config")
	d := j.Doc
	return taskgroup.WriteJSON(config, "processingjobconfig.json", map[string]any{
		"ProcessingJobArn": j.ARN, "ProcessingJobName": j.Key.Name, "AppSpecification": d.AppSpecification, "Environment": d.Environment,
		"ProcessingInputs": d.ProcessingInputs, "ProcessingOutputConfig": d.ProcessingOutputConfig, "ProcessingResources": d.ProcessingResources,
		"NetworkConfig": d.NetworkConfig, "RoleArn": d.RoleArn, "StoppingCondition": d.StoppingCondition, "ExperimentConfig": d.ExperimentConfig,
	})
}

// ownInputs are the inputs into which the SDKs put programs. Their files are the
// container's own: FrameworkProcessor's unpacks its archive in place.
var ownInputs = []string{"code", "entrypoint", "conf", "py-files", "jars", "files"}

// stageInput puts an input's data where the hosts find it, and adds to the
// mounts. What all hosts see is there once.
func (s *Service) stageInput(ctx context.Context, j Job, i int, p sm.ProcessingInput, mounts map[string][]runtime.Mount) error {
	id, all := identity(j), hosts(j)
	for n, host := range all {
		source := transfer.Source{URI: p.S3Input.S3Uri, Type: p.S3Input.S3DataType}
		place := transfer.Place{Target: path.Clean(p.S3Input.LocalPath), Links: filepath.Join(s.folders.Path(id), inputsName, fmt.Sprint(i)),
			Copies: s.inside(id, host, p.S3Input.LocalPath), Own: slices.Contains(ownInputs, p.InputName)}
		shard := p.S3Input.S3DataDistributionType == sharded
		if shard {
			source.Part, source.Parts = n, len(all)
			place.Links = filepath.Join(s.folders.Path(id), host, inputsName, fmt.Sprint(i))
		}
		mount, err := s.data.Stage(ctx, source, place)
		switch {
		case err != nil:
			return err
		case mount == nil:
		case shard:
			mounts[host] = append(mounts[host], *mount)
		default:
			for _, host := range all {
				mounts[host] = append(mounts[host], *mount)
			}
			return nil
		}
	}
	return nil
}

// codePath is where the SDKs put the user's code.
const codePath = root + "/input/code"

// requirements is the text of requirements.txt in the folder of the user's code,
// or in the archive that is there; nil when there is none. The container
// installs it itself: what is known of it beforehand is only there sooner.
func requirements(dir string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if b, err := optml.Requirements(root, "requirements.txt"); err == nil && b != nil {
		return b, nil
	}
	f, err := root.Open("sourcedir.tar.gz")
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		return nil, nil // the container says what is wrong with it
	}
	archive := tar.NewReader(zip)
	for range 1 << 16 {
		h, err := archive.Next()
		if err != nil {
			return nil, nil
		}
		if path.Clean(h.Name) == "requirements.txt" && h.Size <= optml.MaxRequirements {
			return io.ReadAll(archive)
		}
	}
	return nil, nil
}
