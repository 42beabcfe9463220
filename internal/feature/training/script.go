// SPDX-License-Identifier: Apache-2.0

package training

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
)

// needs is what the request itself says of what its image must hold.
func needs(j Job) runtime.Needs {
	a := j.Doc.AlgorithmSpecification
	n := runtime.Needs{Script: hyperparameter(j, "sagemaker_program") != "" || j.Doc.Environment["SAGEMAKER_PROGRAM"] != "" ||
		len(a.ContainerEntrypoint) > 0 || len(a.ContainerArguments) > 0}
	// The SDK's remote functions say what they were pickled with.
	for i := 0; i+1 < len(a.ContainerArguments); i++ {
		switch a.ContainerArguments[i] {
		case "--client_python_version":
			n.Python = a.ContainerArguments[i+1]
		case "--client_sagemaker_pysdk_version":
			n.SDK = a.ContainerArguments[i+1]
		}
	}
	return n
}

// hyperparameter is one of those that the SDKs write as JSON.
func hyperparameter(j Job, name string) string {
	raw := j.Doc.HyperParameters[name]
	var text string
	if json.Unmarshal([]byte(raw), &text) == nil {
		return text
	}
	return raw
}

// codeLimit keeps a bomb of an archive from filling the disk.
var codeLimit = optml.Limit{Bytes: 10 << 30, Entries: 1 << 18}

// stageImage fetches the user's code where the image runs scripts, finds out
// what the code requires, and makes the image ready. What takes long is told in
// the log of the first host.
func (s *Service) stageImage(ctx context.Context, j Job, st *staging) (runtime.Image, error) {
	uri := j.Doc.AlgorithmSpecification.TrainingImage
	image, err := s.Images.Image(ctx, uri, st.Needs)
	if err != nil {
		return image, fmt.Errorf("find training image: %w", err)
	}
	id := identity(j)
	hosts := hostNames(j)
	if u := hyperparameter(j, "sagemaker_submit_directory"); image.Script && strings.HasPrefix(u, "s3://") {
		for _, host := range hosts {
			if err := s.fetchCode(ctx, u, filepath.Join(string(s.ml(id, host)), "code")); err != nil {
				return image, fmt.Errorf("source code: %w", err)
			}
		}
	}
	if image.Script {
		if st.Needs.Requirements, err = requirements(string(s.ml(id, hosts[0]))); err != nil {
			return image, err
		}
	}
	log := taskgroup.Progress(ctx, s.Logs, s.streamOf(j, hosts[0]))
	defer log.Close()
	image, err = s.Images.Prepare(ctx, uri, st.Needs, log)
	if err != nil {
		return image, fmt.Errorf("prepare training image: %w", err)
	}
	return image, nil
}

// fetchCode unpacks an archive of source code into dir.
func (s *Service) fetchCode(ctx context.Context, uri, dir string) error {
	u, err := object.ParseURI(uri)
	if err != nil {
		return transfer.BadData("%w", err)
	}
	body, err := s.Objects.Open(ctx, u, 0, -1)
	if err != nil {
		return fmt.Errorf("%s: %w", uri, err)
	}
	defer body.Close()
	if err := optml.Unpack(body, dir, codeLimit); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return transfer.BadData("%s is no good archive: %w", uri, err)
	}
	return nil
}

// requirements is the text of the code's requirements.txt, nil when it has none.
// SDK v3 puts code into a channel and says in another which file it is.
func requirements(ml string) ([]byte, error) {
	root, err := os.OpenRoot(ml) // what is in it was the user's to pack: no link leads out
	if err != nil {
		return nil, err
	}
	defer root.Close()
	names := []string{"code/requirements.txt"}
	if b, err := root.ReadFile("input/data/sm_drivers/sourcecode.json"); err == nil {
		var code struct {
			Requirements string `json:"requirements"`
		}
		if json.Unmarshal(b, &code) == nil && code.Requirements != "" && filepath.IsLocal(code.Requirements) {
			names = append(names, "input/data/code/"+code.Requirements)
		}
	}
	for _, name := range names {
		b, err := optml.Requirements(root, name)
		if err != nil {
			return nil, transfer.BadData("%w", err)
		}
		if len(bytes.TrimSpace(b)) > 0 {
			return b, nil
		}
	}
	return nil, nil
}
